"""The dense layer: the one place that calls an estimator for its three products.

forward   Y  = X W + b        (estimated: a sum over the inputs N)
backward  dW = X^T G          (estimated: a sum over the rows M)          db = sum over rows of G  (always exact)
          dX = G W^T          (estimated: a sum over the outputs P)
tangent   dY = U W + X W' + b'

Each product is exact unless an estimator is given, and always exact in evaluation. A sampled forward product is
differentiated through its sample: X and W are then the kept inputs, scaled (Adelman et al. 2021, arXiv 1805.08079).
"""

from typing import Any

import numpy as np

from aopnp.backend import Array, array_module, to_device
from aopnp.estimators import Estimator, Exact
from aopnp.layer import EVALUATION, Layer, Parameter, Step
from aopnp.ledger import add_up
from aopnp.nn.init import Initialiser, uniform_fan_in
from aopnp.nn.kept_inputs import KeptInputs
from aopnp.nn.product import Product
from aopnp.outer_products import Gradient, add_scaled
from aopnp.streams import Purpose, Streams


class Dense(Layer):
    """`Y = X W + b`: weight [R, N, P], bias [R, P]; `estimator` answers for the weight gradient."""

    weight: Parameter
    bias: Parameter

    def __init__(
        self,
        inputs: int,
        outputs: int,
        estimator: Estimator = Exact(),  # noqa: B008 - frozen
        *,
        forward: Estimator = Exact(),  # noqa: B008
        input_gradient: Estimator = Exact(),  # noqa: B008
        init: Initialiser = uniform_fan_in,
    ) -> None:
        if inputs < 1 or outputs < 1:
            raise ValueError(f"expected at least one input and one output, got Dense({inputs}, {outputs})")
        if forward.remembers or input_gradient.remembers:
            raise ValueError(
                "expected estimators without memory for the forward product and the input gradient, got "
                f"{forward if forward.remembers else input_gradient}; only the weight gradient may answer a step late"
            )
        self.inputs, self.outputs, self.init = inputs, outputs, init
        self.weight_product, self.forward_product = Product(estimator), Product(forward)
        self.input_product = Product(input_gradient)
        # Selection noise lies in this order: the weights' comes last, whoever else wants some.
        self.products = {"forward": self.forward_product, "input": self.input_product, "weight": self.weight_product}
        self.kept: KeptInputs | None = None

    def initialise(self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0) -> None:
        N, P = self.inputs, self.outputs

        def sample(generator: np.random.Generator) -> Array:
            return self.init(generator, N, P, self.fan_out)

        drawn = streams.draw(Purpose.INITIAL, index, sample=sample).astype(dtype)
        drawn = np.broadcast_to(drawn, (streams.replicas, N + 1, P))
        # In memory the weights lie as [R, P, N]: where P is small, BLAS is up to 3 times faster along the long axis.
        weight = drawn[:, :N].swapaxes(-1, -2).copy()
        self.weight = Parameter(to_device(weight, device).swapaxes(-1, -2))
        self.bias = Parameter(to_device(drawn[:, N].copy(), device))
        for product in self.products.values():
            product.forget()

    @property
    def fan_out(self) -> int:
        """Number of outputs that an input reaches."""
        return self.outputs

    def parameters(self) -> list[Parameter]:
        if not hasattr(self, "weight"):
            raise ValueError(
                f"expected an initialised network, got a {self} without weights; call network.initialise(streams) first"
            )
        return [self.weight, self.bias]

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self._check(x)
        self.batch_size = x.shape[1]
        self.kept = self._choose_inputs(x, x.shape[1], step)
        return self._affine(self._narrowed(x), step)

    def _choose_inputs(self, x: Array, rows: int, step: Step) -> KeptInputs | None:
        """Return which inputs the forward product keeps, None for all: x [R or 1, M, ..., C], `rows` of outputs."""
        if not step.training or isinstance(self.forward_product.estimator, Exact):
            return None
        xp, C, w = array_module(x), x.shape[-1], self.weight.value
        R, P, taps = len(w), w.shape[-1], w.shape[1] // C
        a = xp.moveaxis(x.reshape(*x.shape[:2], -1, C), -1, 1)
        b = xp.moveaxis(w.swapaxes(-1, -2).reshape(R, P, taps, C), -1, 1)
        selection = self.forward_product.select(a, b, self._noise("forward", step), step, 2 * rows * taps * P)
        return None if selection is None else KeptInputs(selection, C)

    def _affine(self, x: Array, step: Step) -> Array:
        weight, bias = self.parameters()
        self.x, self.w = x, weight.value if self.kept is None else self.kept.take_weights(weight.value)
        if step.training and isinstance(self.forward_product.estimator, Exact):
            self.forward_product.exact(self.inputs, x.shape[1], self.outputs, self.w)
        return self.x @ self.w + bias.value[..., None, :]

    def backward(self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True) -> Array | None:
        gradient = self._weight_gradient(g, step)
        self.weight.grad = gradient if self.kept is None else self.kept.put_weights(gradient)
        self.bias.grad = g.sum(-2)
        return self._widened(self._input_gradient(g, step)) if needs_input else None

    def _weight_gradient(self, g: Array, step: Step) -> Gradient:
        return self.weight_product(self.x, g, self._noise("weight", step), step, **self._narrowing)

    def _input_gradient(self, g: Array, step: Step) -> Array:
        """Return G W^T of g [R, rows, P], for the kept inputs."""
        w, product = self.w, self.input_product
        if isinstance(product.estimator, Exact):
            product.exact(self.outputs, self.inputs, g.shape[1], g, self._narrowing["share"])
            return g @ w.swapaxes(-1, -2)
        noise = self._noise("input", step)
        estimate = product(w.swapaxes(-1, -2), g.swapaxes(-1, -2), noise, step, **self._narrowing)
        dx = array_module(g).zeros((len(g), g.shape[1], w.shape[1]), g.dtype)
        add_scaled(dx.swapaxes(-1, -2), estimate, 1.0)  # the sum of w_p g_p^T is the transpose
        return dx

    def tangent(self, u: Array) -> Array:
        return self._affine_tangent(self._narrowed(u))

    def _affine_tangent(self, u: Array) -> Array:
        out = u @ self.w
        if self.weight.tangent is not None:
            kept = self.kept
            out = out + self.x @ (self.weight.tangent if kept is None else kept.take_weights(self.weight.tangent))
        if self.bias.tangent is not None:
            out = out + self.bias.tangent[..., None, :]
        return out

    def _narrowed(self, x: Array) -> Array:
        return x if self.kept is None else self.kept.take(x)

    def _widened(self, dx: Array) -> Array:
        return dx if self.kept is None else self.kept.put(dx)

    @property
    def _narrowing(self) -> dict[str, Any]:
        return {"inputs": self.inputs, "share": None if self.kept is None else self.kept.share}

    def _slots(self, product: str, batch_size: int) -> int:
        """Return how many variates of noise a product wants."""
        terms = {"forward": self.inputs, "input": self.outputs, "weight": batch_size}
        return self.products[product].estimator.slots(terms[product])

    def noise_slots(self, batch_size: int) -> int:
        return sum(self._slots(product, batch_size) for product in self.products)

    def _noise(self, product: str, step: Step) -> Array | None:
        """Return a product's part of the layer's noise; the parts lie in the order of `products`, from the end."""
        noise = step.noise.get(self)
        if noise is None:
            return None
        for later in reversed(self.products):
            slots = self._slots(later, self.batch_size)
            if later == product:
                return noise[..., -slots:] if slots else None
            noise = noise[..., : noise.shape[-1] - slots]
        return None

    def spent(self) -> dict[str, Array]:
        return add_up(*(product.spent(self.weight.value) for product in self.products.values()))

    def observations(self) -> dict[str, Array]:
        seen = self.input_product.observations()
        return self.weight_product.observations() | {f"input_{name}": value for name, value in seen.items()}

    def saved(self) -> dict[str, Any]:
        return {name: product.state for name, product in self.products.items()}

    def restore(self, saved: dict[str, Any]) -> None:
        for name, product in self.products.items():
            product.state = saved[name]

    def __repr__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs})"

    def _check(self, x: Array) -> None:
        weight, _ = self.parameters()
        R, dtype = len(weight.value), weight.value.dtype
        if x.ndim != 3 or x.shape[-1] != self.inputs or len(x) not in (1, R):
            raise ValueError(
                f"{self}: expected inputs [R or 1, M, N] with R = {R} and N = {self.inputs}, got shape {x.shape}"
            )
        if x.dtype != dtype:
            raise TypeError(
                f"{self}: expected inputs of the weights' dtype {dtype}, got {x.dtype}; cast one of them with astype"
            )
