"""The exact weight gradient: all M outer products."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.outer_products import OuterProducts


@dataclass(frozen=True)
class Exact(Estimator):
    """`X^T G`, nothing left out."""

    def __call__(self, x: Array, g: Array, state: Any, noise: Array | None, lr: Array) -> OuterProducts:
        xp = array_module(x, g)
        x, g = xp.ascontiguousarray(x), xp.ascontiguousarray(g)
        return OuterProducts(x, g, xp.full(len(g), x.shape[-2], np.int64))
