"""Norms guessed from a few entries: a window at a random start, anew at each step (arXiv 1805.08079, top-k approx).

    log w_i = log(|a_i[s : s + width]| |b_i[t : t + width]|)        s, t uniform, the same for all i

The trailing axes count as one long axis; one that is shorter than the window is taken whole.
"""

from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import log_norms
from aopnp.estimators.scores.score import starts


@dataclass(frozen=True)
class WindowNorms:
    """The norms of `width` neighbouring entries of each factor."""

    width: int = 10

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"expected a window of at least one entry, got width = {self.width}")

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n]."""
        return log_norms(self._window(a, noise, 0), self._window(b, noise, -1))

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """2 n min(width, A) + 2 n min(width, B)."""
        return 2 * n * (array_module(A).minimum(self.width, A) + min(self.width, B))

    def _window(self, a: Array, noise: Array, where: int) -> Array:
        """Return the window [R or 1, n, width] of a [R or 1, n, ...]; a may be a view, and is not copied."""
        xp, sizes = array_module(a, noise), a.shape[2:]
        entries = a[0, 0].size
        width = min(self.width, entries)
        place = starts(noise, where, entries - width + 1)[:, None] + xp.arange(width)
        places: list[Array] = []
        for size in reversed(sizes):
            places, place = [place % size, *places], place // size
        replicas = xp.arange(max(len(a), len(noise)))[:, None] % len(a)
        # The indexed axes come first, the rows last.
        return xp.ascontiguousarray(a[(replicas, slice(None), *places)].swapaxes(1, 2))
