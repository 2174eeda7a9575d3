"""What a feedback is: it says which matrix stands for the transposed weights in the backward pass.

    dX = G B        B [R, P, N]        (back-propagation: B = W^T)

Everywhere in the code the matrix lies as W does, [R, N, P], so that `b` is B^T and an update of W is one of `b`.
"""

from collections.abc import Callable
from typing import TypeAlias

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step

Normal: TypeAlias = Callable[[int], Array]
"""`normal(n)`: n standard normal variates [R or 1, n] of this layer and step, float64."""


class Feedback:
    """Which matrix stands for W; frozen, while the matrix b that it keeps lives with the layer."""

    keeps: bool = True
    """Whether it has a matrix of its own, drawn as W is: b [R, N, P]. Otherwise W stands for itself."""
    trained: bool = False
    """Whether the optimiser moves b, along the estimated gradient of W."""
    advances: bool = False
    """Whether it moves b itself, before each backward pass."""

    def matrix(self, w: Array, b: Array) -> Array:
        """Return what stands for the weights w [R, N, P]."""
        return b

    def advance(self, w: Array, b: Array, normal: Normal, step: Step) -> int:
        """Move b in place, from the weights w; return the flops that it took for each replica."""
        return 0
