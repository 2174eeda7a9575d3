"""The norms themselves, of both factors or of the second one only.

Norms           log w_i = log(|a_i| |b_i|)        |a_i b_i^T| = |a_i| |b_i|, the Frobenius norm of an outer product
SecondNorms     log w_i = log |b_i|               where b are weights: the same for every input (arXiv 1805.08079)
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
        # The terms of a forward product are columns of both factors: no need to transpose what is only summed.
        xp = array_module(a, b)
        columns = (xp.moveaxis(factor, 1, -1) for factor in (a, b))
        squares = [
            log_column_squares(xp.ascontiguousarray(c.reshape(len(c), -1, a.shape[1])))
            for c in columns
        ]
        return xp.maximum((squares[0] + squares[1]) / 2, FLOOR)

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """2 n (A + B): a multiply-add for every number."""
        return 2 * n * (A + B)


@dataclass(frozen=True)
class SecondNorms:
    """The norms of the second factor, `|b_i|`."""

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n]."""
        return log_norms(array_module(b).ones((1, b.shape[1], 1), b.dtype), _flat(b))

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """2 n B."""
        return 2 * n * B


def _flat(a: Array) -> Array:
    return array_module(a).ascontiguousarray(a.reshape(*a.shape[:2], -1))
