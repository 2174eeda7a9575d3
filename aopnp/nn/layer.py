"""What a network is made of: parameters, the step that a backward pass belongs to, the layer protocol and the chain.

Replicas are leading axes and are never named in a layer: an activation is [R, M, N], a weight [R, N, P], and
`x @ w` trains R networks at once. An input that all replicas share is [1, M, N].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.streams import Streams
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.step import EVALUATION, Step


@dataclass(eq=False)
class Parameter:
    """A trained array [R, ...], its gradient (perhaps in factored form) and its tangent."""

    value: Array
    grad: Gradient | None = None
    tangent: Array | None = None
    feedback: bool = False
    """Whether an optimiser set apart for the feedback path may move it: it need not move as the weights do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what it stands for, of its gradient and its tangent: the value's, unless that is coded."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the same."""
        return self.value.dtype

    def numbers(self) -> Array:
        """Return what it stands for, to compute with: the value itself, unless that is coded."""
        return self.value


class Layer:
    """A differentiable map with its three passes; every layer is tied by `<backward(g), u> = <g, tangent(u)>`.

    `backward` and `tangent` read what the last `forward` left in the layer. A subclass overrides what it has.
    """

    def walk(self) -> Iterator["Layer"]:
        """Yield this layer and, in order, all layers inside it."""
        yield self

    def parameters(self) -> list[Parameter]:
        """Return the trained arrays of this layer and of all layers inside it."""
        return []

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        """Draw the initial values, of `dtype`, onto `device`, as layer number `index` of a network; forget state."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        """Return the output [R, M, P] of the input x [R or 1, M, N]."""
        raise NotImplementedError

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        """Fill the parameters' gradients from g = dloss/doutput [R, M, P]; return dloss/dinput if it is needed."""
        raise NotImplementedError

    def tangent(self, u: Any) -> Array:
        """Return the output's derivative along u [..., R, M, N] at the input and along the parameters' tangents.

        u is None where the input does not move; only a layer that is `perturbed` is asked that.
        """
        raise NotImplementedError

    def perturbed(self) -> bool:
        """Return whether the output moves although the input does not: some parameter has a tangent."""
        return any(parameter.tangent is not None for parameter in self.parameters())

    def listens(self, step: Step) -> bool:
        """Return whether `backward` uses the gradient that comes from above: direct feedback does not."""
        return True

    def noise_slots(self, batch_size: int) -> int:
        """Return how many variates of selection noise a step takes; 0 for none."""
        return 0

    def observations(self) -> dict[str, Array]:
        """Return, and reset, what was measured since the last call: name -> mean [R]."""
        return {}

    def spent(self) -> dict[str, Array]:
        """Return, and reset, what training steps have cost since the last call: name -> total, float64 [R]."""
        return {}

    def saved(self) -> dict[str, Any]:
        """Return what must be saved beside the parameters: name -> array, number, None, dataclass, dict or list."""
        return {}

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what `saved` returned."""


class Chain(Layer):
    """Layers one after another."""

    def __init__(self, *layers: Layer) -> None:
        if not layers:
            raise ValueError("expected at least one layer in a Chain, got none")
        self.layers = layers

    def walk(self) -> Iterator[Layer]:
        for layer in self.layers:
            yield from layer.walk()

    def parameters(self) -> list[Parameter]:
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        for number, layer in enumerate(self.walk(), start=index):
            layer.initialise(streams, dtype, device, number)

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        for layer in self.layers:
            x = layer.forward(x, step)
        return x

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        carried: Any = g
        for layer, wanted in zip(
            reversed(self.layers), reversed(self._wanted(step, needs_input)[:-1]), strict=True
        ):
            if wanted or layer.parameters():
                carried = layer.backward(carried, step, needs_input=wanted)
        return carried if needs_input else None

    def _wanted(self, step: Step, needs_input: bool) -> list[bool]:
        """Return whether somebody uses the gradient at the input of each layer and, last, at the output.

        Nobody does below the lowest layer that has parameters, nor from a layer that does not listen up to the next
        one that has some: those products are never computed.
        """
        wanted = [needs_input]
        for layer in self.layers:
            wanted.append((wanted[-1] or bool(layer.parameters())) and layer.listens(step))
        return wanted

    def listens(self, step: Step) -> bool:
        return self._wanted(step, needs_input=True)[-1]

    def perturbed(self) -> bool:
        return any(layer.perturbed() for layer in self.layers)

    def segments(self, step: Step) -> list["Chain"]:
        """Return the pieces, from the input up, whose backward passes do not wait for each other.

        A piece ends with a layer that does not listen, whose backward takes None; one chain where all listen.
        """
        ends = [i + 1 for i, layer in enumerate(self.layers[:-1]) if not layer.listens(step)]
        return [
            Chain(*self.layers[a:b])
            for a, b in zip([0, *ends], [*ends, len(self.layers)], strict=True)
        ]

    def tangent(self, u: Any) -> Array:
        for layer in self.layers:
            if u is not None or layer.perturbed():
                u = layer.tangent(u)
        if u is None:
            raise ValueError("expected a direction, got none: give u, or some parameter a tangent")
        return u
