"""Scores guessed from one random pixel of the image and one random tap of the kernel.

    log w_i = log(|a_i[..., l]| |b_i[..., t]|)        l, t uniform, the same for all i

A channel of an image is a_i [M, L], M examples of L pixels. A channel of the kernel is b_i [P, T],
P outputs with T taps. (arXiv 1805.08079.)
"""

from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import log_norms
from aopnp.estimators.scores.score import starts


@dataclass(frozen=True)
class OnePixel:
    """The norms at one random index of the last axis of each factor."""

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n] for a [R or 1, n, M, L] and b [R, n, P, T]."""
        return log_norms(_slice(a, noise, 0), _slice(b, noise, -1))

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """2 n (A + B): an upper bound, since M and P are not known from A = M L and B = P T."""
        return 2 * n * (A + B)


def _slice(a: Array, noise: Array, where: int) -> Array:
    """Return the entries [R or 1, n, M] of a [R or 1, n, M, L] at a random index of the last axis.

    Column `where` of noise gives the index of each replica.
    """
    xp = array_module(a, noise)
    _, n, *rest, L = a.shape
    replicas = xp.arange(max(len(a), len(noise))) % len(a)
    whole = (slice(None),) * (1 + len(rest))
    pixel = starts(noise, where, L)
    taken = a[(replicas, *whole, pixel)]
    return xp.ascontiguousarray(taken.reshape(len(taken), n, -1))
