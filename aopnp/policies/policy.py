"""What a policy is: a rule that picks K of n candidate rows from their scores and from random keys."""

from dataclasses import dataclass
from typing import Protocol

from aopnp.backend import Array, array_module


@dataclass(frozen=True)
class Selection:
    """The rows that a policy picked, in the order in which they are multiplied."""

    rows: Array
    """Indices int64 [R, K], K the largest count; a shorter list is padded with its first row at weight 0."""
    weights: Array
    """float64 [R, K]: 1 keeps an outer product as it is; an unbiased policy rescales."""
    count: Array
    """Number of rows picked int64 [R]."""

    def mask(self, slots: int) -> Array:
        """Return which of the `slots` candidates are selected, bool [R, slots]."""
        xp = array_module(self.rows)
        selected = xp.zeros((len(self.rows), slots), bool)
        selected[xp.arange(len(self.rows))[:, None], self.rows] = True
        return selected


class Policy(Protocol):
    """Pick rows: `policy(log_norms, noise, k) -> Selection`."""

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        """Pick k [R] of the n candidates; k is int64 and lies on the host, so that nobody waits for a device.

        log_norms float64 [R, n] is the logarithm of the norm of each outer product, -inf for an empty slot (of a queue
        memory), NaN or +inf where a row went wrong; noise float64 [R or 1, n] is standard Gumbel noise.
        """
        ...
