"""What layers with weights have in common: their parameters, the estimators of their three products, and the books.

A layer itself says what it multiplies (`Dense`, `Conv2d`). Here is what comes with it from outside: initial values, a
feedback's own matrix, sampled inputs, a perturbation of the outputs, selection noise, costs, what is saved.
"""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators import Estimator, Exact
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.feedback import Feedback, Transpose
from aopnp.nn.forward_product import ForwardProduct
from aopnp.nn.init import Initialiser, uniform_fan_in
from aopnp.nn.input_product import InputProduct
from aopnp.nn.layer import Layer, Parameter
from aopnp.nn.products import Products
from aopnp.nn.sampled_inputs import ALL_INPUTS, AllInputs, KeptInputs


class Weighted(Layer):
    """A layer of weights [R, N, P] and a bias [R, P]; every product is exact unless an estimator is given."""

    weight: Parameter
    bias: Parameter
    perturbation: Array | None = None
    """A tangent of the outputs [..., R, M, P], beside those of the parameters."""
    kept: AllInputs | KeptInputs = ALL_INPUTS
    x: Array
    """The rows that the last forward multiplied, of the inputs it kept [R or 1, rows, N]."""
    w: Array
    """And their weights [R, N, P]."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        estimator: Estimator = Exact(),  # noqa: B008 - frozen
        *,
        forward: Estimator = Exact(),  # noqa: B008
        input_gradient: Estimator = Exact(),  # noqa: B008
        feedback: Feedback = Transpose(),  # noqa: B008
        init: Initialiser = uniform_fan_in,
    ) -> None:
        if inputs < 1 or outputs < 1:
            raise ValueError(
                f"expected at least one input and one output, got Dense({inputs}, {outputs})"
            )
        self.inputs, self.outputs, self.init = inputs, outputs, init
        self.forward_product, self.weight_product = ForwardProduct(forward), Product(estimator)
        self.input_product = InputProduct(input_gradient, feedback)
        self.products = Products(self.forward_product, self.input_product, self.weight_product)

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        N = self.inputs

        def drawn(purpose: Purpose) -> Array:
            values = streams.draw(
                purpose, index, sample=lambda g: self.init(g, N, self.outputs, self.fan_out)
            )
            return np.broadcast_to(values.astype(dtype), (streams.replicas, *values.shape[1:]))

        def matrix(values: Array) -> Array:
            # In memory they lie as [R, P, N]: where P is small, BLAS is up to 3 times faster along the long axis.
            return to_device(values[:, :N].swapaxes(-1, -2).copy(), device).swapaxes(-1, -2)

        initial = drawn(Purpose.INITIAL)
        self.weight, self.bias = (
            Parameter(matrix(initial)),
            Parameter(to_device(initial[:, N].copy(), device)),
        )
        if self.feedback.keeps:
            self.input_product.b = Parameter(matrix(drawn(Purpose.FEEDBACK)))
        self.input_product.begin(streams, index)
        self.products.forget()

    @property
    def fan_out(self) -> int:
        """Number of outputs that an input reaches."""
        return self.outputs

    def parameters(self) -> list[Parameter]:
        if not hasattr(self, "weight"):
            raise ValueError(
                f"expected an initialised network, got a {self} without weights; call network.initialise(streams) first"
            )
        return [self.weight, self.bias, *self.input_product.parameters()]

    @property
    def feedback(self) -> Feedback:
        """Which matrix stands for W on the way back."""
        return self.input_product.feedback

    @property
    def feedback_matrix(self) -> Parameter | None:
        """The feedback's own, which lies as the weights do [R, N, P]."""
        return self.input_product.b

    def choose_inputs(self, x: Array, rows: int, step: Step) -> AllInputs | KeptInputs:
        """Return the inputs of x [R or 1, M, ..., C] that the forward product keeps, for `rows` rows of outputs."""
        self.batch_size = x.shape[1]
        return self.forward_product.choose(x, self.weight, self.noise, step, rows)

    def matrix(self, step: Step) -> Array:
        """Return what stands for W on the way back, of the kept inputs."""
        if step.probing or not self.feedback.keeps:
            return self.w
        return self.kept.take_weights(self.input_product.matrix(self.weight, step))

    def take_gradients(self, weight: Gradient, bias: Gradient | None) -> None:
        """Leave the gradients in the parameters; a feedback that is trained moves along that of the weights."""
        self.weight.grad, self.bias.grad = weight, bias
        for own in self.input_product.parameters():
            own.grad = weight

    def perturbed(self) -> bool:
        return self.perturbation is not None or super().perturbed()

    def bias_tangent(self) -> Array | None:
        """Return b' in every row [..., R, rows, P]."""
        if self.bias.tangent is None:
            return None
        moved = self.bias.tangent[..., None, :]
        return array_module(moved).broadcast_to(
            moved, (*moved.shape[:-2], self.x.shape[-2], self.outputs)
        )

    def _terms(self, batch_size: int) -> dict[str, int]:
        """Return how many terms the sum of each product has."""
        return {"forward": self.inputs, "input": self.outputs, "weight": batch_size}

    def noise_slots(self, batch_size: int) -> int:
        return self.products.slots(self._terms(batch_size))

    def noise(self, product: str, step: Step) -> Array | None:
        """Return the share of a product in the layer's selection noise; None for one that wants none."""
        if type(self.products[product].estimator) is Exact:
            return None
        return self.products.noise(product, step.noise.get(self), self._terms(self.batch_size))

    def told(self, product: str, step: Step) -> dict[str, Any]:
        """Return what a product is told beside its factors; `inputs` and `share` are for the ledger."""
        noise = self.noise(product, step)
        return {"noise": noise, "step": step, "inputs": self.inputs, "share": self.kept.share}

    def spent(self) -> dict[str, Array]:
        return self.products.spent(self.weight.value)

    def observations(self) -> dict[str, Array]:
        return self.products.observations()

    def saved(self) -> dict[str, Any]:
        return self.products.saved()

    def restore(self, saved: dict[str, Any]) -> None:
        self.products.restore(saved, str(self))

    def __repr__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs})"

    def check(self, x: Array, axes: str, ndim: int, channels: int, cure: str = "") -> None:
        """Raise ValueError or TypeError where x is none of `axes`, such as [R or 1, M, N], of `channels` inputs."""
        weight, *_ = self.parameters()
        R, dtype = weight.shape[0], weight.dtype
        if x.ndim != ndim or x.shape[-1] != channels or len(x) not in (1, R):
            raise ValueError(
                f"{self}: expected {axes} with R = {R} and {axes[-2]} = {channels}, got shape {x.shape}{cure}"
            )
        if x.dtype != dtype:
            what = axes.split()[0]
            raise TypeError(
                f"{self}: expected {what} of the weights' dtype {dtype}, got {x.dtype}; cast one of them with astype"
            )
