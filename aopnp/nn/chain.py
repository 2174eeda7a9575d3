"""The chain: layers one after another, and itself a layer."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.streams import Streams
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer, Parameter


class Chain(Layer):
    """Layers one after another: the output of each is the input of the next."""

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
        wanted = self._wanted(needs_input)[:-1]
        for layer, wants_input in zip(reversed(self.layers), reversed(wanted), strict=True):
            if wants_input or layer.parameters():
                carried = layer.backward(carried, step, needs_input=wants_input)
        if not needs_input:
            return None
        return carried

    def _wanted(self, needs_input: bool) -> list[bool]:
        """Return whether a layer uses the gradient at the input of each layer and at the output.

        The last entry is that of the output. An entry is False below the first layer with
        parameters, and between a direct-feedback layer and the next layer above it with
        parameters: the products that would give these gradients are never computed.
        """
        wanted = [needs_input]
        for layer in self.layers:
            used = wanted[-1] or bool(layer.parameters())
            wanted.append(used and layer.uses_upstream_gradient)
        return wanted

    @property
    def uses_upstream_gradient(self) -> bool:
        return self._wanted(needs_input=True)[-1]

    def exact_copy(self) -> "Chain":
        twin = copy.copy(self)
        twin.layers = tuple(layer.exact_copy() for layer in self.layers)
        return twin

    def perturbed(self) -> bool:
        return any(layer.perturbed() for layer in self.layers)

    def segments(self) -> list["Chain"]:
        """Return the pieces of this chain that do not wait for each other in the backward pass.

        They are in order, from the input up. A piece ends with a layer of direct feedback, which
        takes None as its gradient. Without direct feedback there is one piece.
        """
        ends = []
        for number, layer in enumerate(self.layers[:-1]):
            if not layer.uses_upstream_gradient:
                ends.append(number + 1)
        starts = [0, *ends]
        ends.append(len(self.layers))
        pairs = zip(starts, ends, strict=True)
        return [Chain(*self.layers[start:end]) for start, end in pairs]

    def tangent(self, u: Any) -> Array:
        for layer in self.layers:
            if u is not None or layer.perturbed():
                u = layer.tangent(u)
        if u is None:
            raise ValueError("expected a direction, got none: give u, or some parameter a tangent")
        return u
