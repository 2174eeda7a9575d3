"""The interface of a feedback: it chooses the matrix that the backward pass uses instead of W^T.

    dX = G B        B [R, P, N]        (back-propagation: B = W^T)

In the code the matrix has the axes of W and lies in memory as W does: `b` [R, N, P] is B^T, and an
update of W can be applied to `b` as it is.
"""

from collections.abc import Callable
from typing import TypeAlias

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step

Normal: TypeAlias = Callable[[int], Array]
"""`normal(n)`: n standard normal variates [R or 1, n] of this layer and step, float64."""


class Feedback:
    """The choice of the matrix B in dX = G B.

    The object is immutable. The matrix b belongs to the layer.
    """

    keeps: bool = True
    """Whether the layer keeps a matrix b [R, N, P] for it, drawn as W is. Otherwise W is used."""
    trained: bool = False
    """Whether the optimiser moves b, along the estimated gradient of W."""
    advances: bool = False
    """Whether the feedback itself moves b, before each backward pass in training."""

    def matrix(self, w: Array, b: Array) -> Array:
        """Return the matrix [R, N, P] that the backward pass uses instead of the weights w."""
        return b

    def advance(self, w: Array, b: Array, normal: Normal, step: Step) -> int:
        """Move b in place, computed from the weights w; return the flops for each replica."""
        return 0
