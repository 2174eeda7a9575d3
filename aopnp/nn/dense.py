"""The dense layer: the one place that calls an estimator for a weight gradient.

forward   Y  = X W + b
backward  dW = X^T G  (estimated)      db = sum over rows of G  (always exact)      dX = G W^T
tangent   dY = U W + X W' + b'
"""

from typing import Any

import numpy as np

from aopnp.backend import Array, to_device
from aopnp.estimators import Estimator, Exact
from aopnp.layer import EVALUATION, Layer, Parameter, Step
from aopnp.nn.init import uniform_fan_in
from aopnp.streams import Purpose, Streams


class Dense(Layer):
    """`Y = X W + b`: weight [R, N, P], bias [R, P]; `estimator` answers for the weight gradient."""

    weight: Parameter
    bias: Parameter

    def __init__(self, inputs: int, outputs: int, estimator: Estimator = Exact()) -> None:  # noqa: B008 - frozen
        if inputs < 1 or outputs < 1:
            raise ValueError(f"expected at least one input and one output, got Dense({inputs}, {outputs})")
        self.inputs, self.outputs, self.estimator = inputs, outputs, estimator
        self.state: Any = None

    def initialise(self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0) -> None:
        N, P = self.inputs, self.outputs

        def sample(generator: np.random.Generator) -> Array:
            return uniform_fan_in(generator, N + 1, P, fan_in=N)

        drawn = streams.draw(Purpose.INITIAL, index, sample=sample).astype(dtype)
        drawn = np.broadcast_to(drawn, (streams.replicas, N + 1, P))
        # In memory the weights lie as [R, P, N]: where P is small, BLAS is up to 3 times faster along the long axis.
        weight = drawn[:, :N].swapaxes(-1, -2).copy()
        self.weight = Parameter(to_device(weight, device).swapaxes(-1, -2))
        self.bias = Parameter(to_device(drawn[:, N].copy(), device))
        self.state = None

    def parameters(self) -> list[Parameter]:
        if not hasattr(self, "weight"):
            raise ValueError(
                f"expected an initialised network, got a {self} without weights; call network.initialise(streams) first"
            )
        return [self.weight, self.bias]

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        weight, bias = self.parameters()
        self._check(x)
        self.x = x
        return x @ weight.value + bias.value[..., None, :]

    def backward(self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True) -> Array | None:
        if self.state is None:
            self.state = self.estimator.start(self.x, g)
        self.weight.grad = self.estimator(self.x, g, self.state, step.noise.get(self), step.lr)
        self.bias.grad = g.sum(-2)
        return g @ self.weight.value.swapaxes(-1, -2) if needs_input else None

    def tangent(self, u: Array) -> Array:
        out = u @ self.weight.value
        if self.weight.tangent is not None:
            out = out + self.x @ self.weight.tangent
        if self.bias.tangent is not None:
            out = out + self.bias.tangent[..., None, :]
        return out

    def noise_slots(self, batch_size: int) -> int:
        return self.estimator.slots(batch_size)

    def observations(self) -> dict[str, Array]:
        return {} if self.state is None else self.estimator.observations(self.state)

    def __repr__(self) -> str:
        return f"Dense({self.inputs}, {self.outputs})"

    def _check(self, x: Array) -> None:
        R, dtype = len(self.weight.value), self.weight.value.dtype
        if x.ndim != 3 or x.shape[-1] != self.inputs or len(x) not in (1, R):
            raise ValueError(
                f"{self}: expected inputs [R or 1, M, N] with R = {R} and N = {self.inputs}, got shape {x.shape}"
            )
        if x.dtype != dtype:
            raise TypeError(
                f"{self}: expected inputs of the weights' dtype {dtype}, got {x.dtype}; cast one of them with astype"
            )
