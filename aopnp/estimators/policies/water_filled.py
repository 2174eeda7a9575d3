"""Optimal independent sampling by water-filling: the default among the unbiased policies.

    p = min(1, w / c),  c such that sum of p = K        weight 1 / p
    E |error|^2 = sum of (1 - p) / p w^2

These probabilities minimise that error under E|S| = K (VCAS, ICLR 2024). To find c, let w be sorted
and C_j be the sum of the j smallest scores. Then sum of min(1, w / c) is the minimum over j of
n - j + C_j / c (the j smallest rows are not saturated), hence c = min over j of C_j / (K - n + j).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.policies.chances import relative
from aopnp.estimators.policies.draws import draw_independently, width
from aopnp.estimators.policies.policy import Selection, check_draws


@dataclass(frozen=True)
class WaterFilledBernoulli:
    """Keep each row independently, with its water-filled probability.

    k is the expected number of kept rows, at most the number of nonzero scores.
    """

    scaled: ClassVar[bool] = True

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp = array_module(log_norms)
        n = log_norms.shape[1]
        p = water_filled(relative(log_norms), xp.asarray(k))
        return draw_independently(p, log_norms, noise, width(k, n))


def water_filled(w: Array, k: Array) -> Array:
    """Return the probabilities p [R, n] of scores w [R, n] >= 0, 0 for a score of 0.

    The sum of p is k [R], or the number of nonzero scores where that is smaller.
    """
    xp = array_module(w, k)
    n = w.shape[1]
    nonzero = (w > 0).sum(-1)
    k = xp.minimum(k, nonzero)
    # The draws that are left for the j smallest rows if all larger rows are kept for sure.
    j = xp.arange(1, n + 1)
    spare = k[:, None] - n + j
    sums = xp.cumsum(xp.sort(w, -1), -1)
    levels = xp.where(spare > 0, sums / xp.maximum(spare, 1), np.inf)
    c = levels.min(-1, keepdims=True)
    return xp.minimum(1, w / c)


bernoulli = WaterFilledBernoulli()
