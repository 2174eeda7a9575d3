"""The dense layer: three products, each a sum of outer products.

forward   Y  = X W + b
backward  dW = X^T G        db = sum over rows of G        dX = G W^T
tangent   dY = U W + X W' + b'
"""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.weighted import Weighted


class Dense(Weighted):
    """`Y = X W + b`: X [R or 1, M, N], weight [R, N, P], bias [R, P].

    The arguments `estimator`, `forward` and `input_gradient` are the estimators of dW, Y and dX,
    exact by default; in evaluation Y is always exact. `feedback` may replace W^T in dX.
    `sample` holds the inputs that a sampled forward product keeps; None: all of them.
    """

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        if not self.accepts(x, 3, self.inputs):
            self.refuse(x, "inputs [R or 1, M, N]", self.inputs)
        self.sample = self.forward_product.choose(x, self.weight, x.shape[1], step)
        if self.sample is not None:
            x = self.sample.take(x)
        return self.affine(x)

    def affine(self, x: Array) -> Array:
        """Return X W + b for rows x, and remember both factors for the backward pass."""
        self.x, self.w = x, self.weights()
        if self.sample is not None:
            self.w = self.sample.take_weights(self.w)
        return self.x @ self.w + self.bias.value[..., None, :]

    def accepts(self, x: Array, ndim: int, channels: int) -> bool:
        """Return whether x fits the weights: its shape [R or 1, ..., channels] and its dtype."""
        fits = hasattr(self, "bias") and x.ndim == ndim and x.shape[-1] == channels
        return fits and len(x) in (1, len(self.bias.value)) and x.dtype == self.bias.value.dtype

    def weights(self) -> Array:
        """Return W [R, N, P]."""
        return self.weight.value

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        self.weight.grad = self.weight_gradient(g, step)
        self.bias.grad = g.sum(-2)
        if self.input_product.b is not None:
            self.input_product.follow(self.weight)
        if not needs_input:
            return None
        dx = self.input_gradient(g, step)
        return dx if self.sample is None else self.sample.put(dx)

    def weight_gradient(self, g: Array, step: Step) -> Gradient:
        """Return the estimate of X^T G [R, N, P]."""
        if self.sample is not None:
            return self.sample.weight_gradient(self.weight_product, self.x, g, step)
        return self.weight_product(self.x, g, step)

    def input_gradient(self, g: Array, step: Step) -> Array:
        """Return the estimate of G W^T [R, rows, N], or of G times the feedback's matrix."""
        w = self.matrix(step)
        if self.sample is not None:
            return self.sample.input_gradient(self.input_product, g, w, step)
        return self.input_product.estimate(g, w, step)

    def tangent(self, u: Any) -> Array:
        if u is not None and self.sample is not None:
            u = self.sample.take(u)
        return self.affine_tangent(u)

    def affine_tangent(self, u: Array | None) -> Array:
        """Return U W + X W' + b' + perturbation for rows u [..., R, rows, N]; None: U is zero."""
        product, moved = self.forward_product.tangent, self.weight.tangent
        terms = [self.perturbation]
        if u is not None:
            terms.append(product(u, self.w))
        if moved is not None:
            if self.sample is not None:
                moved = self.sample.take_weights(moved)
            terms.append(product(self.x, moved))
        terms.append(self.bias_tangent())
        first, *rest = [term for term in terms if term is not None]
        return sum(rest, start=first)
