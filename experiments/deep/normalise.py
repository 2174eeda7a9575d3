"""Standardise colours with fixed numbers.

forward   y[..., c] = (x[..., c] - mean_c) / std_c        backward and tangent   v / std_c
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from aopnp import Streams
from aopnp.arrays.backend import Array, to_device
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn import Layer


class Normalise(Layer):
    """`(x - mean) / std` of each channel of x [R or 1, M, H, W, C]."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.fixed = np.array([mean, std])

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        self.mean, self.std = to_device(self.fixed.astype(dtype), device)

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        return (x - self.mean) / self.std

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        return g / self.std if needs_input else None

    def tangent(self, u: Array) -> Array:
        return u / self.std
