"""Scores guessed from a few entries: a window at a random start, drawn again in each step.

    log w_i = log(|a_i[s : s + width]| |b_i[t : t + width]|)        s, t uniform, the same for all i

The trailing axes count as one long axis. If it is shorter than the window, it is taken whole.
(arXiv 1805.08079, top-k approx.)
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
        a = self._window(a, noise, 0)
        b = self._window(b, noise, -1)
        return log_norms(a, b)

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """2 n min(width, A) + 2 n min(width, B)."""
        of_a = array_module(A).minimum(self.width, A)
        of_b = min(self.width, B)
        return 2 * n * (of_a + of_b)

    def _window(self, a: Array, noise: Array, where: int) -> Array:
        """Return the window [R or 1, n, width] of a [R or 1, n, ...].

        Column `where` of noise gives its start. a may be a view; only the window is copied.
        """
        xp = array_module(a, noise)
        entries = a[0, 0].size
        width = min(self.width, entries)
        start = starts(noise, where, entries - width + 1)
        place = start[:, None] + xp.arange(width)
        # Split the place on the long axis into an index for each trailing axis, the last one first.
        places: list[Array] = []
        for size in reversed(a.shape[2:]):
            places.insert(0, place % size)
            place = place // size
        replicas = xp.arange(max(len(a), len(noise)))[:, None] % len(a)
        window = a[(replicas, slice(None), *places)]
        # The indexed axes came first and the rows last.
        return xp.ascontiguousarray(window.swapaxes(1, 2))
