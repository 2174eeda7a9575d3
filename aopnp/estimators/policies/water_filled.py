"""Optimal independent sampling: the default among the unbiased policies (water-filling; VCAS, ICLR 2024).

    p = min(1, w / c),  c such that sum of p = K        weight 1 / p        E |error|^2 = sum of (1 - p) / p w^2

minimises that error under E|S| = K. With w sorted and C_j the sum of the j smallest, sum of min(1, w / c) is the
minimum over j of n - j + C_j / c (the j smallest unsaturated), hence c = min over j of C_j / (K - n + j).
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
    """Keep each row independently with its water-filled probability; k is the expected number, at most the nonzero."""

    scaled: ClassVar[bool] = True

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        p = water_filled(relative(log_norms), array_module(log_norms).asarray(k))
        return draw_independently(p, log_norms, noise, width(k, log_norms.shape[1]))


def water_filled(w: Array, k: Array) -> Array:
    """Return p [R, n] of scores w [R, n] >= 0: sum of p = min(k [R], number of nonzero w); zeros get 0."""
    xp, n = array_module(w, k), w.shape[1]
    k = xp.minimum(k, (w > 0).sum(-1))
    spare = (
        k[:, None] - n + xp.arange(1, n + 1)
    )  # of the draws, if all but the j smallest rows are sure
    sums = xp.cumsum(xp.sort(w, -1), -1)
    c = xp.where(spare > 0, sums / xp.maximum(spare, 1), np.inf).min(-1, keepdims=True)
    return xp.minimum(1, w / c)


bernoulli = WaterFilledBernoulli()
