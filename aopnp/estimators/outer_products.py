"""A gradient in factored form: a sum of outer products that has not been multiplied out yet.

The weight gradient of a dense layer is `sum over k of a_k b_k^T`. Plain SGD adds it straight into
the weights, without a temporary of their size; other optimisers ask for the matrix with `dense`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.arrays.kernels import add_outer_products
from aopnp.arrays.per_replica import replica_values


@dataclass(frozen=True)
class OuterProducts:
    """`sum over k < count[r] of a[r, k] b[r, k]^T`: a [R or 1, K, N], b [R, K, P], count [R].

    Rows beyond the count are zero.
    """

    a: Array
    b: Array
    count: Array

    def dense(self) -> Array:
        """Return the sum as a matrix [R, N, P], laid out as a layer stores its weights."""
        R, N, P = len(self.b), self.a.shape[-1], self.b.shape[-1]
        out: Array = array_module(self.b).zeros((R, P, N), self.b.dtype)
        out = out.swapaxes(-1, -2)
        self.add_to(out, 1.0)
        return out

    def add_to(self, w: Array, scale: float | Array) -> None:
        """w [R, N, P] += scale [R] (on the host) times this sum, in place."""
        scales = np.array(scale, np.float64, ndmin=1)
        transposed = w.swapaxes(-1, -2)
        # A dense layer stores its weights as [R, P, N].
        if transposed.flags.c_contiguous:
            add_outer_products(transposed, self.b, self.a, scales, self.count)
        else:
            add_outer_products(w, self.a, self.b, scales, self.count)


@dataclass(frozen=True)
class SideBySide:
    """The gradients of several estimators, each for its slice of the replicas."""

    parts: Sequence[tuple[slice, "Gradient"]]

    def dense(self) -> Array:
        """Return the matrices of all replicas [R, N, P]."""
        parts = [dense(gradient) for _, gradient in self.parts]
        return array_module(*parts).concatenate(parts)

    def add_to(self, w: Array, scale: float | Array) -> None:
        """w [R, N, P] += scale [R] (on the host) times these gradients, in place."""
        scales = replica_values(scale, len(w))
        for where, gradient in self.parts:
            add_scaled(w[where], gradient, scales[where])


Gradient: TypeAlias = Array | OuterProducts | SideBySide
"""The answer of an estimator: a matrix [R, N, P], or one in factored form."""


Expand: TypeAlias = Callable[[OuterProducts], OuterProducts]
"""Expands kept pairs of vectors into outer products.

For a convolution by example, a pair (image, output gradient) expands to the outer products of all
its patches. None in the place of a function: each pair is one outer product.
"""


def dense(gradient: Gradient) -> Array:
    """Return `gradient` as a matrix [R, N, P]."""
    if isinstance(gradient, OuterProducts | SideBySide):
        return gradient.dense()
    return gradient


def multiplied(gradient: Gradient, n: int, replicas: int) -> Array:
    """Return how many of n outer products `gradient` multiplies, int64 [R]: all n for a matrix."""
    if isinstance(gradient, OuterProducts):
        return gradient.count
    if isinstance(gradient, SideBySide):
        counts = []
        for where, part in gradient.parts:
            counts.append(multiplied(part, n, where.stop - where.start))
        return array_module(*counts).concatenate(counts)
    return array_module(gradient).full(replicas, n)


def add_scaled(w: Array, gradient: Gradient, scale: float | Array) -> None:
    """w [R, ...] += scale [R] * gradient, in place; a factored gradient is not multiplied out."""
    if isinstance(gradient, OuterProducts | SideBySide):
        gradient.add_to(w, scale)
    else:
        w += replica_factors(scale, w) * gradient
