"""The exact product: all outer products."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.outer_products import Multiply, OuterProducts, as_they_are
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
        multiply: Multiply = as_they_are,
    ) -> OuterProducts:
        xp = array_module(x, g)
        x, g = xp.ascontiguousarray(x), xp.ascontiguousarray(g)
        return multiply(OuterProducts(x, g, xp.full(len(g), x.shape[-2], np.int64)))

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> None:
        return None
