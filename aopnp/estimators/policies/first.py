"""The first K rows: a baseline for timing.

It shows the costs that remain when nothing is scored or drawn.
"""

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
        n = log_norms.shape[1]
        places = xp.arange(n, dtype=np.float64)
        empty = log_norms == -np.inf
        keys = xp.where(empty, -np.inf, -places)
        keys = xp.where(wrong(log_norms), np.inf, keys)
        return k_best(keys, k)


firstk = FirstK()
