"""The interface of a policy: a rule that picks some of n candidate rows, by scores and random keys.

A policy has the attribute `scaled`. It is True if the weights of the policy make the estimate
unbiased, E[sum of weights_m a_m b_m^T] = sum of a_m b_m^T. It is False if every kept outer product
counts once. A scaled policy draws at least one row: for k = 0 it raises ValueError.
"""

from dataclasses import dataclass
from typing import Protocol

from aopnp.arrays.backend import Array, array_module


@dataclass(frozen=True)
class Selection:
    """The rows that a policy picked, in the order in which they are multiplied."""

    rows: Array
    """Indices int64 [R, K], where K is at least 1 and at least the largest count.

    A shorter list is padded with one row at weight 0.
    """
    weights: Array
    """float64 [R, K]: 1 keeps an outer product as it is; an unbiased policy rescales.

    A row may be in the list twice.
    """
    count: Array
    """Number of rows picked, int64 [R]; 0 where the estimate is zero."""

    def mask(self, slots: int) -> Array:
        """Return which of the `slots` candidates are selected, bool [R, slots]."""
        xp = array_module(self.rows)
        R = len(self.rows)
        selected = xp.zeros((R, slots), bool)
        replicas = xp.arange(R)[:, None]
        selected[replicas, self.rows] = True
        return selected & (self.count > 0)[:, None]


class Policy(Protocol):
    """Pick rows: `policy(log_norms, noise, k) -> Selection`."""

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        """Pick k of the n candidates in each replica.

        k is int64 [R] and lies on the host, so that no step waits for a device. noise is standard
        Gumbel noise, float64 [R or 1, n]. log_norms, float64 [R, n], holds the logarithm of the
        score w of each outer product, with three special values. FLOOR means w = 0. -inf marks an
        empty slot (of a queue memory), which is never chosen while other rows are left. NaN or +inf
        marks a row that went wrong, which is chosen at once.
        """
        ...


def check_draws(k: Array) -> None:
    """Raise ValueError where a scaled policy is asked for no draw: nothing can be rescaled."""
    if k.min() < 1:
        raise ValueError(
            f"expected k >= 1 of a policy that rescales what it keeps, got k = {k.min()}; raise k"
        )
