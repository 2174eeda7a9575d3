"""Activations: layers without parameters whose Jacobian is symmetric.

One product J v therefore serves the backward and the tangent pass.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import softmax
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer


class Activation(Layer):
    """The base of all activations: `backward(g) = J g`, `tangent(u) = J u`."""

    def jacobian_product(self, v: Array) -> Array:
        """Return J v for v [..., R, M, P] at the last forward's input."""
        raise NotImplementedError

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        return self.jacobian_product(g)

    def tangent(self, u: Array) -> Array:
        return self.jacobian_product(u)


class ReLU(Activation):
    """`max(x, 0)`, with derivative 0 at 0; NaN stays NaN."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.active = x > 0
        return array_module(x).maximum(x, 0)

    def jacobian_product(self, v: Array) -> Array:
        return v * self.active


class Tanh(Activation):
    """`tanh(x)`, J = 1 - y^2."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.y = array_module(x).tanh(x)
        return self.y

    def jacobian_product(self, v: Array) -> Array:
        return v * (1 - self.y * self.y)


class Sigmoid(Activation):
    """`y = 1 / (1 + exp(-x))`, J = y (1 - y).

        e = exp(-|x|)        y = exp(min(x, 0)) / (1 + e)        J = e / (1 + e)^2

    The numerator of y is 1 for x >= 0 and exp(x) for x < 0. Nothing overflows and nothing cancels:
    y and J keep their relative accuracy however close to 0 they are.
    """

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        xp = array_module(x)
        e = xp.exp(-abs(x))
        denominator = 1 + e
        self.slope = e / (denominator * denominator)
        return xp.exp(xp.minimum(x, 0)) / denominator

    def jacobian_product(self, v: Array) -> Array:
        return v * self.slope


class Softmax(Activation):
    """`exp(x_p) / sum over q of exp(x_q)` along the last axis, J = diag(y) - y y^T."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.y = softmax(array_module(x).ascontiguousarray(x))
        return self.y

    def jacobian_product(self, v: Array) -> Array:
        mean = (self.y * v).sum(-1, keepdims=True)
        return self.y * (v - mean)
