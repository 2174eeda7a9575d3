"""The base of layers with weights: parameters, initial values, the products, the feedback, checks.

The formulas of a layer are in its subclass (`Dense`, `Conv2d`). This class prepares all that the
formulas use.
"""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.feedback import Feedback, Transpose
from aopnp.nn.forward_product import ForwardProduct
from aopnp.nn.init import Initialiser, uniform_fan_in
from aopnp.nn.input_product import InputProduct
from aopnp.nn.layer import Layer, Parameter
from aopnp.nn.sampled_inputs import SampledInputs


class Weighted(Layer):
    """A layer with weights [R, N, P] and a bias [R, P].

    Every product is exact unless it is given an estimator.
    """

    weight: Parameter
    bias: Parameter
    perturbation: Array | None = None
    """A tangent of the outputs [..., R, M, P], added to the tangent that the parameters give."""
    sample: SampledInputs | None = None
    """The inputs that the last forward product kept; None: all."""
    x: Array
    """The rows that the last forward pass multiplied, of the kept inputs [R or 1, rows, N]."""
    w: Array
    """The weights that it multiplied with them [R, N, P]."""

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
        for other in (forward, input_gradient):
            if other.remembers:
                raise ValueError(
                    "expected estimators without memory for the forward product and the input "
                    f"gradient, got {other}; only the weight gradient may answer a step late"
                )
        self.inputs = inputs
        self.outputs = outputs
        self.init = init
        self.forward_product = ForwardProduct(forward, inputs, outputs)
        self.input_product = InputProduct(input_gradient, feedback, outputs)
        self.weight_product = Product(estimator)
        self.input_product.inputs = self.weight_product.inputs = inputs

    def products(self) -> dict[str, Product]:
        return {
            "forward": self.forward_product,
            "input": self.input_product,
            "weight": self.weight_product,
        }

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        N, P = self.inputs, self.outputs

        def drawn(purpose: Purpose) -> Array:
            """Return weights and, in the last row, a bias [R, N + 1, P]."""
            values = streams.draw(
                purpose,
                index,
                sample=lambda generator: self.init(generator, N, P, self.fan_out),
            )
            shape = streams.replicas, N + 1, P
            return np.broadcast_to(values.astype(dtype), shape)

        def matrix(values: Array) -> Array:
            """Return the weights [R, N, P] on the device, without the bias.

            In memory they lie as [R, P, N]: where P is small, BLAS is up to 3 times faster along
            the long axis.
            """
            transposed = values[:, :N].swapaxes(-1, -2).copy()
            return to_device(transposed, device).swapaxes(-1, -2)

        initial = drawn(Purpose.INITIAL)
        self.weight = Parameter(matrix(initial))
        self.bias = Parameter(to_device(initial[:, N].copy(), device))
        if self.feedback.keeps:
            self.input_product.b = Parameter(matrix(drawn(Purpose.FEEDBACK)))
        self.input_product.begin(streams, index)
        self.forward_product.forget()
        self.weight_product.forget()

    @property
    def fan_out(self) -> int:
        """Number of outputs that an input reaches."""
        return self.outputs

    def parameters(self) -> list[Parameter]:
        self.check_initialised()
        return [self.weight, self.bias, *self.input_product.parameters()]

    @property
    def feedback(self) -> Feedback:
        """The rule that chooses the matrix of the backward pass."""
        return self.input_product.feedback

    @property
    def feedback_matrix(self) -> Parameter | None:
        """The matrix that the feedback keeps [R, N, P]; None if it keeps none."""
        return self.input_product.b

    def matrix(self, step: Step) -> Array:
        """Return the matrix of the backward pass [R, N, P]: W, or that of the feedback.

        Where the forward product sampled its inputs, N counts only the kept ones.
        """
        if type(self.feedback) is Transpose:
            return self.w
        matrix = self.input_product.matrix(self.weight.numbers(), step)
        if self.sample is not None:
            matrix = self.sample.take_weights(matrix)
        return matrix

    def exact_copy(self) -> "Weighted":
        twin = super().exact_copy()
        assert isinstance(twin, Weighted)
        twin.weight_product = self.weight_product.exact_copy()
        twin.input_product = InputProduct(Exact(), Transpose(), self.outputs)
        return twin

    def perturbed(self) -> bool:
        return self.perturbation is not None or super().perturbed()

    def bias_tangent(self) -> Array | None:
        """Return b' in every row [..., R, rows, P]; None where b has no tangent."""
        if self.bias.tangent is None:
            return None
        moved = self.bias.tangent[..., None, :]
        rows = (*moved.shape[:-2], self.x.shape[-2], self.outputs)
        return array_module(moved).broadcast_to(moved, rows)

    def saved(self) -> dict[str, Any]:
        return super().saved() | self.input_product.saved()

    def restore(self, saved: dict[str, Any]) -> None:
        self.input_product.restore(saved, str(self))
        super().restore(saved)

    def __repr__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs})"

    def check_initialised(self) -> None:
        """Raise ValueError before `initialise`."""
        if not hasattr(self, "weight"):
            raise ValueError(
                f"expected an initialised network, got a {self} without weights; "
                "call network.initialise(streams) first"
            )

    def refuse(self, x: Array, axes: str, channels: int, cure: str = "") -> None:
        """Raise the error of an input x that `accepts` has refused.

        `axes` names the axes that x should have, such as inputs [R or 1, M, N]; the last of them
        must have `channels` entries. Raises TypeError for the dtype and ValueError for the shape.
        """
        self.check_initialised()
        R, dtype = len(self.bias.value), self.bias.value.dtype
        kind = axes.split()[0]
        if x.dtype != dtype and x.ndim == axes.count(",") + 1 and x.shape[-1] == channels:
            raise TypeError(
                f"{self}: expected {kind} of the weights' dtype {dtype}, got {x.dtype}; "
                "cast one of them with astype"
            )
        raise ValueError(
            f"{self}: expected {axes} with R = {R} and {axes[-2]} = {channels}, "
            f"got shape {x.shape}{cure}"
        )
