"""The dense layer: the one place that calls an estimator for its three products.

forward   Y  = X W + b        (estimated: a sum over the inputs N)
backward  dW = X^T G          (estimated: a sum over the rows M)          db = sum over rows of G  (always exact)
          dX = G W^T          (estimated: a sum over the outputs P; a feedback may put another matrix there)
tangent   dY = U W + X W' + b'

Each product is exact unless an estimator is given, and always exact in evaluation. A sampled forward product is
differentiated through its sample: X and W are then the kept inputs, scaled (Adelman et al. 2021, arXiv 1805.08079).
"""

from functools import partial
from typing import Any

import numpy as np

from aopnp.backend import Array, array_module, to_device
from aopnp.estimators import Estimator, Exact
from aopnp.feedback import Feedback, Transpose
from aopnp.layer import EVALUATION, Layer, Parameter, Step
from aopnp.ledger import add_up
from aopnp.nn.init import Initialiser, uniform_fan_in
from aopnp.nn.kept_inputs import KeptInputs
from aopnp.nn.products import Products
from aopnp.outer_products import Gradient, add_scaled
from aopnp.streams import Purpose, Streams


class Dense(Layer):
    """`Y = X W + b`: weight [R, N, P], bias [R, P]; `estimator` answers for the weight gradient."""

    weight: Parameter
    bias: Parameter
    feedback_matrix: Parameter | None = None
    """The feedback's own b, which lies as the weights do [R, N, P]."""
    perturbation: Array | None = None
    """A tangent of the outputs [..., R, M, P], beside those of the parameters."""

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
            raise ValueError(f"expected at least one input and one output, got Dense({inputs}, {outputs})")
        if not isinstance(feedback, Feedback):
            raise TypeError(f"expected a feedback like RandomFeedback(), got {feedback!r}; FEEDBACKS has them by name")
        self.inputs, self.outputs, self.init, self.feedback = inputs, outputs, init, feedback
        self.beside = 0
        self.products = Products(forward, input_gradient, estimator)
        self.weight_product, self.forward_product = self.products["weight"], self.products["forward"]
        self.input_product = self.products["input"]
        self.kept: KeptInputs | None = None

    def initialise(self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0) -> None:
        N, P = self.inputs, self.outputs

        def sample(generator: np.random.Generator) -> Array:
            return self.init(generator, N, P, self.fan_out)

        def drawn(purpose: Purpose) -> Array:
            values = streams.draw(purpose, index, sample=sample).astype(dtype)
            return np.broadcast_to(values, (streams.replicas, N + 1, P))

        def matrix(values: Array) -> Array:
            # In memory they lie as [R, P, N]: where P is small, BLAS is up to 3 times faster along the long axis.
            return to_device(values[:, :N].swapaxes(-1, -2).copy(), device).swapaxes(-1, -2)

        initial = drawn(Purpose.INITIAL)
        self.weight, self.bias = Parameter(matrix(initial)), Parameter(to_device(initial[:, N].copy(), device))
        if self.feedback.keeps:
            self.feedback_matrix = Parameter(matrix(drawn(Purpose.FEEDBACK)))
        self.streams, self.number, self.beside = streams, index, 0
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
        own = [self.feedback_matrix] if self.feedback_matrix is not None and self.feedback.trained else []
        return [self.weight, self.bias, *own]

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self._check(x)
        self.batch_size = x.shape[1]
        self.kept = self._choose_inputs(x, x.shape[1], step)
        return self._affine(self._narrowed(x), step)

    def _choose_inputs(self, x: Array, rows: int, step: Step) -> KeptInputs | None:
        """Return which inputs the forward product keeps, None for all: x [R or 1, M, ..., C], `rows` of outputs."""
        if not step.training or isinstance(self.forward_product.estimator, Exact):
            return None
        xp, C, w = array_module(x), x.shape[-1], self.weight.numbers()
        R, P, taps = len(w), w.shape[-1], w.shape[1] // C
        a = xp.moveaxis(x.reshape(*x.shape[:2], -1, C), -1, 1)
        b = xp.moveaxis(w.swapaxes(-1, -2).reshape(R, P, taps, C), -1, 1)
        selection = self.forward_product.select(a, b, self._noise("forward", step), step, 2 * rows * taps * P)
        return None if selection is None else KeptInputs(selection, C)

    def _affine(self, x: Array, step: Step) -> Array:
        w = self.weight.numbers()
        self.counting = step.training
        self.x, self.w = x, w if self.kept is None else self.kept.take_weights(w)
        if step.training and isinstance(self.forward_product.estimator, Exact):
            self.forward_product.exact(self.inputs, x.shape[1], self.outputs, self.w)
        return self.x @ self.w + self.bias.value[..., None, :]

    def backward(self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True) -> Array | None:
        if not step.probing:
            gradient = self._weight_gradient(g, step)
            self.weight.grad = gradient if self.kept is None else self.kept.put_weights(gradient)
            self.bias.grad = g.sum(-2)
            if self.feedback_matrix is not None and self.feedback.trained:
                self.feedback_matrix.grad = self.weight.grad
        return self._widened(self._input_gradient(g, step)) if needs_input else None

    def _weight_gradient(self, g: Array, step: Step) -> Gradient:
        return self.weight_product(self.x, g, self._noise("weight", step), step, **self._narrowing)

    def _input_gradient(self, g: Array, step: Step) -> Array:
        """Return G W^T of g [R, rows, P], for the kept inputs; with the feedback's matrix in the place of W."""
        if step.probing:
            return g @ self.w.swapaxes(-1, -2)
        w, product = self._feedback_weights(step), self.input_product
        if isinstance(product.estimator, Exact):
            product.exact(self.outputs, self.inputs, g.shape[1], g, self._narrowing["share"])
            return g @ w.swapaxes(-1, -2)
        noise = self._noise("input", step)
        estimate = product(w.swapaxes(-1, -2), g.swapaxes(-1, -2), noise, step, **self._narrowing)
        dx = array_module(g).zeros((len(g), g.shape[1], w.shape[1]), g.dtype)
        add_scaled(dx.swapaxes(-1, -2), estimate, 1.0)  # the sum of w_p g_p^T is the transpose
        return dx

    def _feedback_weights(self, step: Step) -> Array:
        """Return what stands for W, of the kept inputs."""
        if self.feedback_matrix is None:
            return self.w
        w, b = self.weight.numbers(), self.feedback_matrix.value
        if self.feedback.advances and step.training:
            self.beside += self.feedback.advance(w, b, partial(self._normal, step), step)
        matrix = self.feedback.matrix(w, b)
        return matrix if self.kept is None else self.kept.take_weights(matrix)

    def _normal(self, step: Step, size: int) -> Array:
        xp = array_module(self.weight.value)
        return self.streams.normal(Purpose.NOISE, self.number, step=step.index, size=size, xp=xp)

    def tangent(self, u: Any) -> Array:
        return self._affine_tangent(None if u is None else self._narrowed(u))

    def perturbed(self) -> bool:
        return self.perturbation is not None or super().perturbed()

    def _affine_tangent(self, u: Array | None) -> Array:
        """Return U W + X W' + b' + the perturbation, of rows u [..., R, rows, N]; what is None is zero."""
        terms = [] if self.perturbation is None else [self.perturbation]
        if u is not None:
            terms.append(self._counted(u @ self.w))
        moved = self.weight.tangent
        if moved is not None:
            kept = moved if self.kept is None else self.kept.take_weights(moved)
            terms.append(self._counted(self.x @ kept))
        if self.bias.tangent is not None:
            moved = self.bias.tangent[..., None, :]
            rows = (*moved.shape[:-2], self.x.shape[-2], self.outputs)
            terms.append(array_module(moved).broadcast_to(moved, rows))
        return sum(terms[1:], start=terms[0])

    def _counted(self, product: Array) -> Array:
        """Return a tangent's product, counted in training."""
        if self.counting:
            self.beside += 2 * self.w.shape[-2] * product.size // product.shape[-3]
        return product

    def _narrowed(self, x: Array) -> Array:
        return x if self.kept is None else self.kept.take(x)

    def _widened(self, dx: Array) -> Array:
        return dx if self.kept is None else self.kept.put(dx)

    @property
    def _narrowing(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "share": None if self.kept is None else self.kept.share}

    def _terms(self, batch_size: int) -> dict[str, int]:
        """Return how many terms the sum of each product has."""
        return {"forward": self.inputs, "input": self.outputs, "weight": batch_size}

    def noise_slots(self, batch_size: int) -> int:
        return self.products.slots(self._terms(batch_size))

    def _noise(self, product: str, step: Step) -> Array | None:
        return self.products.noise(product, step.noise.get(self), self._terms(self.batch_size))

    def spent(self) -> dict[str, Array]:
        """Tangents and feedback that advances by itself count as flops beside the products."""
        w, beside, self.beside = self.weight.value, self.beside, 0
        flops = array_module(w).full(len(w), float(beside))
        own = {"flops": flops, "overhead_flops": flops} if beside else {}
        return add_up(own, self.products.spent(w))

    def observations(self) -> dict[str, Array]:
        seen = self.input_product.observations()
        return self.weight_product.observations() | {f"input_{name}": value for name, value in seen.items()}

    def saved(self) -> dict[str, Any]:
        return self.products.saved() | self._own_matrix()

    def restore(self, saved: dict[str, Any]) -> None:
        own = self._own_matrix()
        if ("feedback" in saved) != bool(own):
            raise ValueError(f"{self}: expected what was saved with the feedback {self.feedback}, got another's")
        self.products.restore(saved)
        for name, value in own.items():
            value[...] = saved[name]

    def _own_matrix(self) -> dict[str, Array]:
        """Return the matrix of a feedback that keeps one which is no parameter."""
        own = self.feedback_matrix
        return {} if own is None or self.feedback.trained else {"feedback": own.value}

    def __repr__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs})"

    def _check(self, x: Array) -> None:
        weight, *_ = self.parameters()
        R, dtype = weight.shape[0], weight.dtype
        if x.ndim != 3 or x.shape[-1] != self.inputs or len(x) not in (1, R):
            raise ValueError(
                f"{self}: expected inputs [R or 1, M, N] with R = {R} and N = {self.inputs}, got shape {x.shape}"
            )
        if x.dtype != dtype:
            raise TypeError(
                f"{self}: expected inputs of the weights' dtype {dtype}, got {x.dtype}; cast one of them with astype"
            )
