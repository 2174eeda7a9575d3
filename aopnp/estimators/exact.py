"""The exact product: all outer products."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.outer_products import Expand, OuterProducts
from aopnp.estimators.step import Step


@dataclass(frozen=True)
class Exact(Estimator):
    """`X^T G`, nothing left out."""

    def __call__(
        self,
        x: Array,
        g: Array,
        state: Any,
        noise: Array | None,
        step: Step,
        expand: Expand | None = None,
    ) -> OuterProducts:
        xp = array_module(x, g)
        x, g = xp.ascontiguousarray(x), xp.ascontiguousarray(g)
        pairs = OuterProducts(x, g, xp.full(len(g), x.shape[-2], np.int64))
        if expand is not None:
            return expand(pairs)
        return pairs

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> None:
        return None
