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
    """`Y = X W + b`: X [R or 1, M, N], weight [R, N, P], bias [R, P]; `estimator` answers for the weight gradient.

    What else may be estimated or replaced, and what that costs, is in `Weighted`; here every product is one line.
    X and W are the inputs that the forward product keeps: all of them, unless it is sampled.
    """

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.check(x, "inputs [R or 1, M, N]", 3, self.inputs)
        self.kept = self.choose_inputs(x, x.shape[1], step)
        return self.affine(self.kept.take(x))

    def affine(self, x: Array) -> Array:
        """Return X W + b of rows x, and remember both factors for the way back."""
        self.x, self.w = x, self.kept.take_weights(self.weight.numbers())
        return x @ self.w + self.bias.value[..., None, :]

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not step.probing:
            self.take_gradients(self.kept.put_weights(self.weight_gradient(g, step)), g.sum(-2))
        return self.kept.put(self.input_gradient(g, step)) if needs_input else None

    def weight_gradient(self, g: Array, step: Step) -> Gradient:
        """Return the estimate of X^T G."""
        return self.weight_product(self.x, g, **self.told("weight", step))

    def input_gradient(self, g: Array, step: Step) -> Array:
        """Return the estimate of G W^T, perhaps with another matrix in the place of W."""
        return self.input_product.down(g, self.matrix(step), **self.told("input", step))

    def tangent(self, u: Any) -> Array:
        return self.affine_tangent(None if u is None else self.kept.take(u))

    def affine_tangent(self, u: Array | None) -> Array:
        """Return U W + X W' + b' + the perturbation, of rows u [..., R, rows, N]; what is None stands still."""
        moved, product = self.weight.tangent, self.forward_product.counted
        terms = [
            self.perturbation,
            None if u is None else product(u, self.w),
            None if moved is None else product(self.x, self.kept.take_weights(moved)),
            self.bias_tangent(),
        ]
        first, *others = [term for term in terms if term is not None]
        return sum(others, start=first)
