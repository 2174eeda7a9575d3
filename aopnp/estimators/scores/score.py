"""What a score is: how large each term of `sum over i of a_i b_i^T` is, or seems."""

from typing import Protocol

from aopnp.arrays.backend import Array, array_module


class Score(Protocol):
    """Rank terms: `score(a, b, noise) -> log w`, float64 [R, n]."""

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n], at least FLOOR, for a [R or 1, n, ...] and b [R, n, ...].

        noise is the policy's, Gumbel [R or 1, n]: a score that draws takes digits that the policy does not see.
        """
        ...

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """Return what scoring n terms of A and of B numbers costs; numbers or arrays."""
        ...


def starts(noise: Array, where: int, choices: int) -> Array:
    """Return a random number from 0 to choices - 1 for each replica, int64 [R or 1], from column `where` of noise.

    The policy compares the uniform variate u = exp(-exp(-noise)) with chances, so its leading digits decide. What is
    used here comes behind the first 24 binary ones: whatever it is, the policy's u is uniform to within 2^-24.
    """
    xp = array_module(noise)
    tail = xp.exp(-xp.exp(-noise[:, where])) * 2.0**24 % 1
    return xp.minimum(tail * choices, choices - 1).astype("int64")
