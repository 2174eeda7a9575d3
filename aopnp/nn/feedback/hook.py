"""A hook: the identity, where the passing gradient can be measured, moved forward, or replaced (`Direct`).

alignment angle = arccos(<injected, true> / (|injected| |true|)), over all activations of a batch, in degrees

`MeasureAlignment` sends the true gradient through an exact copy of the network, in which a tap at the place of
each hook notes it; the hook compares it with the gradient that passes next. An angle of 90 degrees is no
better than a random direction, or belongs to a zero gradient, as where feedback starts at zero.
"""

import math

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer


class Hook(Layer):
    """The identity on activations [R or 1, M, ...]; `perturbation` is added to the passing tangent."""

    def __init__(self) -> None:
        self.true: Array | None = None
        """The true gradient, until the gradient of the next backward pass is compared with it."""
        self.perturbation: Array | None = None
        self._angles: list[Array] = []

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        return x

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if self.true is not None:
            self._angles.append(_angle(g, self.true))
            self.true = None
        return g if needs_input else None

    def exact_copy(self) -> Layer:
        return _Tap(self)

    def tangent(self, u: Array | None) -> Array:
        if u is None or self.perturbation is None:
            moved = self.perturbation if u is None else u
            assert moved is not None
            return moved
        return u + self.perturbation

    def perturbed(self) -> bool:
        return self.perturbation is not None

    def observations(self) -> dict[str, Array]:
        angles, self._angles = self._angles, []
        seen = super().observations()
        if angles:
            seen["alignment_angle"] = array_module(*angles).stack(angles, -1).mean(-1)
        return seen


class _Tap(Layer):
    """Stands at the place of `hook` in an exact copy of the network, and notes the true gradient there."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        self.hook.true = g
        return g if needs_input else None


def _angle(a: Array, b: Array) -> Array:
    """Return the angle between a and b [R, ...] in degrees, float64 [R]; 90 where one of them is zero."""
    xp = array_module(a, b)
    flat_a, flat_b = (v.reshape(len(v), -1).astype(float) for v in (a, b))
    squares = (flat_a * flat_a).sum(-1) * (flat_b * flat_b).sum(-1)
    cosine = (flat_a * flat_b).sum(-1) / xp.sqrt(xp.where(squares == 0, 1, squares))
    return xp.arccos(xp.clip(cosine, -1.0, 1.0)) * (180 / math.pi)
