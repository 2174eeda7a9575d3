"""Dropout: zero some activations at random, scale the others up so that the mean stays (Srivastava et al. 2014).

    y = mask x      mask = 0 with probability `rate`, else 1 / (1 - rate)

The mask is a pure function of (seed, run, layer number, step): no state, the same on CPU and GPU.
"""

import math
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.activations import Activation


class Dropout(Activation):
    """Drop each activation with probability `rate`; the identity in evaluation."""

    streams: Streams | None = None

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"expected a dropout rate of at least 0 and below 1, got {rate}")
        self.rate = rate

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        self.streams, self.number = streams, index

    def mask_shape(self, x: Array) -> tuple[int, ...]:
        """Return the shape of one replica's mask for x [R or 1, M, ...]: it broadcasts against x[0]."""
        return x.shape[1:]

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.mask = self._mask(x, step.index) if step.training and self.rate else None
        return self.jacobian_product(x)

    def jacobian_product(self, v: Array) -> Array:
        return v if self.mask is None else v * self.mask

    def _mask(self, x: Array, step: int) -> Array:
        if self.streams is None:
            raise ValueError(
                "expected an initialised Dropout, got one without streams; call initialise(streams) first"
            )
        shape = self.mask_shape(x)
        drawn = self.streams.uniform(
            Purpose.NOISE, self.number, step=step, size=math.prod(shape), xp=array_module(x)
        )
        kept: Array = drawn.reshape(-1, *shape) > self.rate
        return kept.astype(x.dtype) / (1 - self.rate)


class ChannelDropout(Dropout):
    """Drop whole channels of an example: one mask value for all positions of x [R or 1, M, H, W, C]."""

    def mask_shape(self, x: Array) -> tuple[int, ...]:
        return (x.shape[1], *(1,) * (x.ndim - 3), x.shape[-1])
