"""Policies that keep as many rows as hold a given share of the scores (arXiv 1805.08079).

    k' = the smallest number >= k for which the k' largest of P hold `share` of their sum
    k' = n for share = 1

The number of kept rows k' follows the data. `EnergyTopK` keeps these k' rows (P = w / W).
`EnergySampling` makes k' draws with replacement (P is mixed with 0.1 / n).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.per_replica import replica_values
from aopnp.estimators.policies.chances import mixed, relative, shares
from aopnp.estimators.policies.draws import draw_with_replacement, first_of
from aopnp.estimators.policies.largest_keys import k_best
from aopnp.estimators.policies.policy import Selection, check_draws


@dataclass(frozen=True)
class EnergyTopK:
    """Keep the largest rows that hold `share` of the sum of the scores w, and at least k rows.

    `share` is a number or [R].
    """

    scaled: ClassVar[bool] = False
    share: float | Array

    def __post_init__(self) -> None:
        _check_share(self.share)

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        R, n = log_norms.shape
        w = relative(log_norms)
        count = _smallest(w, log_norms, self.share, k)
        ranked = k_best(log_norms, np.full(R, n))
        return first_of(ranked.rows, ranked.weights, count)


@dataclass(frozen=True)
class EnergySampling:
    """Draw as many rows as hold `share` of the mixed chances, and at least k; rescale them.

    `share` is a number or [R].
    """

    scaled: ClassVar[bool] = True
    share: float | Array

    def __post_init__(self) -> None:
        _check_share(self.share)

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        n = log_norms.shape[1]
        P = mixed(shares(relative(log_norms)), log_norms, 0.1)
        count = _smallest(P, log_norms, self.share, k)
        return draw_with_replacement(P, noise, count, n)


def _smallest(P: Array, log_norms: Array, share: float | Array, k: Array) -> Array:
    """Return k' [R], at least k [R] and at most the number of slots that are not empty."""
    xp = array_module(P, log_norms)
    R, n = P.shape
    share = xp.asarray(replica_values(share, R))[:, None]
    largest_first = xp.sort(P, -1)[:, ::-1]
    sums = xp.cumsum(largest_first, -1)
    too_few = sums < share * sums[:, -1:]
    needed = too_few.sum(-1, keepdims=True) + 1
    needed = xp.where(share < 1, needed, n)[:, 0]
    needed = xp.maximum(needed, xp.asarray(k))
    present = (log_norms != -np.inf).sum(-1)
    return xp.minimum(needed, present)


def _check_share(share: float | Array) -> None:
    given = np.asarray(share)
    if not np.all((given > 0) & (given <= 1)):
        raise ValueError(
            f"expected a share above 0 and up to 1 of the scores, got {share}; 1 keeps all rows"
        )
