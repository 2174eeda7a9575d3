"""The interface of a score: the size of each term of a sum of outer products, exact or guessed."""

from typing import Protocol

from aopnp.arrays.backend import Array, array_module


class Score(Protocol):
    """Rank the terms of `sum over i of a_i b_i^T`: `score(a, b, noise) -> log w`."""

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n], at least FLOOR, for a [R or 1, n, ...] and b [R, n, ...].

        noise [R or 1, n] is the Gumbel noise of the policy. A score that draws at random uses
        digits of it that the policy does not see.
        """
        ...

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """Return the flops of scoring n terms of A and B numbers each; a number or an array."""
        ...


def starts(noise: Array, where: int, choices: int) -> Array:
    """Return a random number from 0 to choices - 1 for each replica, int64 [R or 1].

    It comes from column `where` of noise. The policy compares the uniform variate
    u = exp(-exp(-noise)) with chances, so the leading digits of u decide. This function uses only
    the digits behind the first 24 binary ones: whatever they are, the u that the policy sees is
    uniform to within 2^-24.
    """
    xp = array_module(noise)
    u = xp.exp(-xp.exp(-noise[:, where]))
    tail = u * 2.0**24 % 1
    number = xp.minimum(tail * choices, choices - 1)
    return number.astype("int64")
