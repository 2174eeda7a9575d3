"""Dropout: zero some activations at random, and scale up the rest so that the mean stays.

    y = mask x      mask = 0 with probability `rate`, else 1 / (1 - rate)

(Srivastava et al. 2014.) The mask is a pure function of (seed, run, layer number, step): it is no
state, and it is the same on CPU and GPU.
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
    mask: Array | None
    """The mask of the last forward pass [R or 1, M, ...]; None: the identity."""

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"expected a dropout rate of at least 0 and below 1, got {rate}")
        self.rate = rate

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        self.streams = streams
        self.number = index

    def mask_shape(self, x: Array) -> tuple[int, ...]:
        """Return the shape of one replica's mask for x [R or 1, M, ...].

        A mask of this shape broadcasts against x[0].
        """
        return x.shape[1:]

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.mask = None
        if step.training and self.rate:
            self.mask = self._draw(x, step.index)
        return self.jacobian_product(x)

    def jacobian_product(self, v: Array) -> Array:
        if self.mask is None:
            return v
        return v * self.mask

    def _draw(self, x: Array, step: int) -> Array:
        """Return the mask of a step for x [R or 1, M, ...]."""
        if self.streams is None:
            raise ValueError(
                "expected an initialised Dropout, got one without streams; "
                "call initialise(streams) first"
            )
        xp = array_module(x)
        shape = self.mask_shape(x)
        size = math.prod(shape)
        drawn = self.streams.uniform(Purpose.NOISE, self.number, step=step, size=size, xp=xp)
        kept: Array = drawn.reshape(-1, *shape) > self.rate
        return kept.astype(x.dtype) / (1 - self.rate)


class ChannelDropout(Dropout):
    """Drop whole channels of images x [R or 1, M, H, W, C].

    All positions of a channel share one value of the mask.
    """

    def mask_shape(self, x: Array) -> tuple[int, ...]:
        positions = (1,) * (x.ndim - 3)
        return (x.shape[1], *positions, x.shape[-1])
