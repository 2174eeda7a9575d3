"""The first K rows: what is left of the cost when nothing is scored or drawn (a baseline for timing)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.policies.chances import wrong
from aopnp.estimators.policies.largest_keys import k_best
from aopnp.estimators.policies.policy import Selection


@dataclass(frozen=True)
class FirstK:
    """Keep the first k rows, unscaled."""

    scaled: ClassVar[bool] = False

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        xp = array_module(log_norms)
        places = xp.where(
            log_norms == -np.inf, -np.inf, -xp.arange(log_norms.shape[1], dtype=np.float64)
        )
        return k_best(xp.where(wrong(log_norms), np.inf, places), k)


firstk = FirstK()
