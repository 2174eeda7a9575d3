"""What a policy is: a rule that picks some of n candidate rows from their scores and from random keys.

A policy has `scaled`: True if its weights make the estimate unbiased, E[sum of weights_m a_m b_m^T] = sum of a_m b_m^T;
False if every kept outer product counts once. A scaled policy draws at least one row: k = 0 is a ValueError.
"""

from dataclasses import dataclass
from typing import Protocol

from aopnp.arrays.backend import Array, array_module


@dataclass(frozen=True)
class Selection:
    """The rows that a policy picked, in the order in which they are multiplied."""

    rows: Array
    """Indices int64 [R, K], K at least the largest count and 1; a shorter list is padded with one row at weight 0."""
    weights: Array
    """float64 [R, K]: 1 keeps an outer product as it is; an unbiased policy rescales. A row may be there twice."""
    count: Array
    """Number of rows picked int64 [R]; 0 where the estimate is zero."""

    def mask(self, slots: int) -> Array:
        """Return which of the `slots` candidates are selected, bool [R, slots]."""
        xp = array_module(self.rows)
        selected = xp.zeros((len(self.rows), slots), bool)
        selected[xp.arange(len(self.rows))[:, None], self.rows] = True
        return selected & (self.count > 0)[:, None]


class Policy(Protocol):
    """Pick rows: `policy(log_norms, noise, k) -> Selection`."""

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        """Pick k [R] of the n candidates; k is int64 and lies on the host, so that nobody waits for a device.

        log_norms float64 [R, n] is the logarithm of the score w of each outer product, FLOOR for w = 0, -inf for an
        empty slot (of a queue memory; never chosen while others are left), NaN or +inf where a row went wrong, which
        is chosen at once; noise float64 [R or 1, n] is standard Gumbel noise.
        """
        ...


def check_draws(k: Array) -> None:
    """Raise ValueError where a scaled policy is asked for no draw at all: nothing can be rescaled."""
    if k.min() < 1:
        raise ValueError(
            f"expected k >= 1 of a policy that rescales what it keeps, got k = {k.min()}; raise k"
        )
