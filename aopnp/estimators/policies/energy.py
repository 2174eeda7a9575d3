"""As many rows as it takes to hold a share of the scores: the number kept follows the data (arXiv 1805.08079).

    k' = the smallest number of at least k for which the k' largest of P hold `share` of their sum; n for share = 1

EnergyTopK keeps these rows (P = w / W), EnergySampling makes k' draws, with replacement (P mixed with 0.1 / n).
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
    """Keep the largest rows that hold `share` (a number or [R]) of the sum of w, and at least k of them."""

    scaled: ClassVar[bool] = False
    share: float | Array

    def __post_init__(self) -> None:
        _check_share(self.share)

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        R, n = log_norms.shape
        count = _smallest(relative(log_norms), log_norms, self.share, k)
        best = k_best(log_norms, np.full(R, n))
        return first_of(best.rows, best.weights, count)


@dataclass(frozen=True)
class EnergySampling:
    """Make as many scaled draws as rows hold `share` (a number or [R]) of the mixed chances, and at least k."""

    scaled: ClassVar[bool] = True
    share: float | Array

    def __post_init__(self) -> None:
        _check_share(self.share)

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        chances = mixed(shares(relative(log_norms)), log_norms, 0.1)
        count = _smallest(chances, log_norms, self.share, k)
        return draw_with_replacement(chances, noise, count, log_norms.shape[1])


def _smallest(P: Array, log_norms: Array, share: float | Array, k: Array) -> Array:
    """Return k' [R], at least k [R] and at most the number of slots that are not empty."""
    xp, (R, n) = array_module(P, log_norms), P.shape
    wanted = xp.asarray(replica_values(share, R))[:, None]
    sums = xp.cumsum(xp.sort(P, -1)[:, ::-1], -1)
    reached = xp.where(wanted < 1, (sums < wanted * sums[:, -1:]).sum(-1, keepdims=True) + 1, n)[
        :, 0
    ]
    return xp.minimum(xp.maximum(reached, xp.asarray(k)), (log_norms != -np.inf).sum(-1))


def _check_share(share: float | Array) -> None:
    if not np.all((np.asarray(share) > 0) & (np.asarray(share) <= 1)):
        raise ValueError(
            f"expected a share above 0 and up to 1 of the scores, got {share}; 1 keeps all rows"
        )
