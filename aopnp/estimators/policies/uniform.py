"""K distinct rows, all equally likely, rescaled: randk made unbiased.

    weight n / K        E |error|^2 = n (n - K) / (K (n - 1)) (sum of w^2 - |C|^2 / n)

w are the norms of the n outer products, and C is their sum.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.policies.chances import wrong
from aopnp.estimators.policies.draws import subset
from aopnp.estimators.policies.largest_keys import k_best
from aopnp.estimators.policies.policy import Selection, check_draws


@dataclass(frozen=True)
class UniformSampling:
    """Keep k rows without replacement, whatever their scores are, at weight n / k."""

    scaled: ClassVar[bool] = True

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp = array_module(log_norms, noise)
        R, n = log_norms.shape
        present = log_norms != -np.inf
        keys = xp.where(present, noise, -np.inf)
        keys = xp.where(wrong(log_norms), np.inf, keys)
        kept = k_best(keys, k).mask(n) & present
        count = xp.maximum(kept.sum(-1), 1)
        weight = present.sum(-1) / count
        weights = xp.broadcast_to(weight[:, None], (R, n))
        return subset(kept, weights, int(k.max()))


uniform = UniformSampling()
