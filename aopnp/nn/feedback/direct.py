"""Direct feedback alignment: the error at the outputs, sent straight to a hidden layer.

    e = error @ B        error = dloss/dy [R, M, K]      B [R, K, D], fixed

(Nokland 2016.) e takes the place of dloss/da for the D activations a of an example; D = H W C for
a feature map. B has one column for each activation. The gradient from the layer above is not used,
so that no layer waits for another, and the layer above computes no product with its W^T, like the
first layer of a network.
"""

import math
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, to_device
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators import Exact
from aopnp.estimators.product import Product
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.feedback.hook import Hook
from aopnp.nn.feedback.init import FeedbackInit, normal, zeros
from aopnp.nn.layer import Parameter


class Direct(Hook):
    """A hook after activations [R, M, *shape] of a network with K = `outputs` outputs.

    Here B never changes, as in DFA; subclasses may train it.
    """

    b: Parameter
    """B [R, K, D]."""
    trained: bool = False
    """Whether the optimiser moves B; `learn` then fills its gradient."""

    def __init__(
        self, outputs: int, shape: int | tuple[int, ...], init: FeedbackInit = normal
    ) -> None:
        super().__init__()
        self.shape: tuple[int, ...]
        if isinstance(shape, int):
            self.shape = (shape,)
        else:
            self.shape = shape
        self.outputs = outputs
        self.init = init
        if outputs < 1 or not self.shape or min(self.shape) < 1:
            raise ValueError(
                f"expected outputs and a shape of at least 1 each, got {outputs} and {shape}"
            )
        if init is zeros and not self.trained:
            raise ValueError(
                "expected initial values of B other than zeros, got zeros; "
                f"{type(self).__name__} never changes B"
            )
        self.injection = Product(Exact())

    @property
    def activations(self) -> int:
        """D: the number of activations of an example."""
        return math.prod(self.shape)

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        K, D = self.outputs, self.activations
        drawn = streams.draw(
            Purpose.FEEDBACK, index, sample=lambda generator: self.init(generator, K, D)
        )
        shape = streams.replicas, K, D
        values = np.broadcast_to(drawn.astype(dtype), shape).copy()
        self.b = Parameter(to_device(values, device), group="feedback")
        self.streams = streams
        self.number = index
        self.injection.forget()

    def parameters(self) -> list[Parameter]:
        if not hasattr(self, "b"):
            raise ValueError(
                f"expected an initialised {self}, got one without B; "
                "call network.initialise(streams)"
            )
        if not self.trained:
            return []
        return [self.b]

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        if x.shape[2:] != self.shape:
            axes = ", ".join(["R", "M", *map(str, self.shape)])
            raise ValueError(f"{self}: expected activations [{axes}], got {x.shape}")
        self.x = x
        return x

    @property
    def uses_upstream_gradient(self) -> bool:
        return False

    def backward(
        self, g: Any, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        error = self.error(step)
        self.learn(error, step)
        return super().backward(self._inject(error), step, needs_input=needs_input)

    def error(self, step: Step) -> Array:
        """Return the error that is sent back [R, M, K]."""
        if step.loss is None:
            raise ValueError(
                f"{self}: expected a step with its loss, got none; "
                "run it by backprop, which gives it one"
            )
        error = step.loss.backward()
        if error.shape[-1] != self.outputs:
            raise ValueError(
                f"{self}: expected an error at {self.outputs} outputs, got {error.shape[-1]}; "
                "give the network's number of outputs"
            )
        return error

    def learn(self, error: Array, step: Step) -> None:
        """Fill the gradient of B in subclasses that train it."""

    def _inject(self, error: Array) -> Array:
        """Return e [R, M, *shape], and count the product."""
        K, M, D = self.outputs, error.shape[1], self.activations
        self.injection.count_exact(K, D, M, self.b.value)
        return (error @ self.b.value).reshape(-1, M, *self.shape)

    def products(self) -> dict[str, Product]:
        return {"injection": self.injection}

    def saved(self) -> dict[str, Any]:
        if self.trained:
            return super().saved()
        return super().saved() | {"b": self.b.value}

    def restore(self, saved: dict[str, Any]) -> None:
        super().restore(saved)
        if not self.trained:
            self.b.value[...] = saved["b"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.outputs}, {self.shape})"


class DFA(Direct):
    """Direct feedback alignment: B is random and fixed."""
