"""Scores by the norms themselves, of both factors or of the second one only.

    Norms           log w_i = log(|a_i| |b_i|)
    SecondNorms     log w_i = log |b_i|

The Frobenius norm of an outer product is |a_i b_i^T| = |a_i| |b_i|. Where the second factors are
weights, `SecondNorms` ranks the terms in the same way for every input (arXiv 1805.08079).
"""

from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import log_column_squares, log_norms
from aopnp.arrays.kernels.log_norms import FLOOR


@dataclass(frozen=True)
class Norms:
    """The whole norms, `|a_i| |b_i|`."""

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n]."""
        if a.flags.c_contiguous or b.flags.c_contiguous:
            return log_norms(_flat(a), _flat(b))
        # The terms of a forward product are columns of both factors: they are summed where they
        # lie, without a transposed copy.
        xp = array_module(a, b)
        n = a.shape[1]
        squares = []
        for factor in (a, b):
            columns = xp.moveaxis(factor, 1, -1)
            columns = columns.reshape(len(columns), -1, n)
            columns = xp.ascontiguousarray(columns)
            squares.append(log_column_squares(columns))
        return xp.maximum((squares[0] + squares[1]) / 2, FLOOR)

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """2 n (A + B): a multiply-add for every number."""
        return 2 * n * (A + B)


@dataclass(frozen=True)
class SecondNorms:
    """The norms of the second factor, `|b_i|`."""

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n]."""
        xp, n = array_module(b), b.shape[1]
        ones = xp.ones((1, n, 1), b.dtype)
        return log_norms(ones, _flat(b))

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """2 n B: a multiply-add for every number of the second factor."""
        return 2 * n * B


def _flat(a: Array) -> Array:
    """Return a [R, n, ...] as contiguous rows [R, n, numbers of a term]."""
    rows = a.reshape(*a.shape[:2], -1)
    return array_module(a).ascontiguousarray(rows)
