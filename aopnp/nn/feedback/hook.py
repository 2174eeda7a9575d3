"""A hook: an identity layer that can measure the passing gradient, replace it, or perturb tangents.

    alignment angle = arccos(<injected, true> / (|injected| |true|))

The angle is taken over all activations of a batch, in degrees. `MeasureAlignment` sends the true
gradient through an exact copy of the network, in which a tap in the place of each hook notes it.
The hook compares it with the gradient that passes next. An angle of 90 degrees is no better than a
random direction; it is also the angle of a zero gradient, for example where feedback starts at
zero. `Direct` replaces the gradient.
"""

import math

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer


class Hook(Layer):
    """The identity on activations [R or 1, M, ...]."""

    def __init__(self) -> None:
        self.true: Array | None = None
        """The true gradient, until the gradient of the next backward pass is compared with it."""
        self.perturbation: Array | None = None
        """A tangent of the activations [..., R, M, ...], added to the passing one."""
        self._angles: list[Array] = []

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        return x

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if self.true is not None:
            self._angles.append(_angle(g, self.true))
            self.true = None
        if not needs_input:
            return None
        return g

    def exact_copy(self) -> Layer:
        return _Tap(self)

    def tangent(self, u: Array | None) -> Array:
        if self.perturbation is None:
            assert u is not None
            return u
        if u is None:
            return self.perturbation
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
    """The layer in the place of `hook` in an exact copy of the network.

    It gives the true gradient to the hook.
    """

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        self.hook.true = g
        if not needs_input:
            return None
        return g


def _angle(a: Array, b: Array) -> Array:
    """Return the angle between a and b [R, ...] in degrees, float64 [R]; 90 where one is zero."""
    xp = array_module(a, b)
    flat_a = a.reshape(len(a), -1).astype(float)
    flat_b = b.reshape(len(b), -1).astype(float)
    squares = (flat_a * flat_a).sum(-1) * (flat_b * flat_b).sum(-1)
    lengths = xp.sqrt(xp.where(squares == 0, 1, squares))
    cosine = (flat_a * flat_b).sum(-1) / lengths
    return xp.arccos(xp.clip(cosine, -1.0, 1.0)) * (180 / math.pi)
