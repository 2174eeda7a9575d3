"""Layers that only change shapes: between images [R, M, H, W, C] and rows [R, M, N]."""

import math

from aopnp.arrays.backend import Array
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer


class Flatten(Layer):
    """All axes behind the batch become one: [R, M, ...] -> [R, M, N]."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.shape = x.shape[2:]
        return x.reshape(*x.shape[:2], math.prod(self.shape))

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        return g.reshape(*g.shape[:2], *self.shape)

    def tangent(self, u: Array) -> Array:
        leading = u.shape[: u.ndim - len(self.shape)]
        return u.reshape(*leading, math.prod(self.shape))


class Unflatten(Layer):
    """Rows become channels-last images: [R, M, N] -> [R, M, H, W, C], N = H W C."""

    def __init__(self, H: int, W: int, C: int) -> None:
        self.shape = (H, W, C)

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        if x.ndim != 3 or x.shape[2] != math.prod(self.shape):
            H, W, C = self.shape
            raise ValueError(
                f"expected rows [R or 1, M, N] with N = {H} * {W} * {C} = {H * W * C}, "
                f"got shape {x.shape}; give Unflatten the size of the images"
            )
        return self.tangent(x)

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        return g.reshape(*g.shape[:2], math.prod(self.shape))

    def tangent(self, u: Array) -> Array:
        return u.reshape(*u.shape[:-1], *self.shape)
