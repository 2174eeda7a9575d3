"""The parts of a network: parameters, the layer protocol, and the chain of layers.

Replicas are leading axes and are never named in a layer: an activation is [R, M, N], a weight
[R, N, P], and `x @ w` trains R networks at once. An input that all replicas share is [1, M, N].
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.streams import Streams
from aopnp.estimators.ledger import add_up
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.product import Product
from aopnp.estimators.step import EVALUATION, Step


@dataclass(eq=False)
class Parameter:
    """A trained array [R, ...], its gradient (perhaps in factored form) and its tangent."""

    value: Array
    grad: Gradient | None = None
    tangent: Array | None = None
    group: str = "network"
    """The parameter group: "feedback" for the feedback path, which may have an optimiser of its own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the represented array, of its gradient and of its tangent.

        It differs from `value.shape` only for packed weights.
        """
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the represented array."""
        return self.value.dtype

    def numbers(self) -> Array:
        """Return the represented array, to compute with: `value`, unless weights are packed."""
        return self.value


class Layer:
    """A differentiable map with three passes, tied by `<backward(g), u> = <g, tangent(u)>`.

    `backward` and `tangent` read the numbers that the last `forward` left in the layer. A subclass
    overrides the methods that concern it.
    """

    def walk(self) -> Iterator["Layer"]:
        """Yield this layer and, in order, all layers inside it."""
        yield self

    def parameters(self) -> list[Parameter]:
        """Return the trained arrays of this layer and of all layers inside it."""
        return []

    def products(self) -> dict[str, Product]:
        """Return the estimated sums of outer products of this layer alone, by name.

        Selection noise, the ledger, measurements and saving walk through them. A sum over the rows of
        the batch comes last.
        """
        return {}

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        """Draw the initial values as layer number `index` of a network; forget all state.

        The values have `dtype` and lie on `device`.
        """

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        """Return the output [R, M, P] of the input x [R or 1, M, N]."""
        raise NotImplementedError

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        """Fill the parameters' gradients from g = dloss/doutput [R, M, P].

        Returns dloss/dinput if `needs_input`.
        """
        raise NotImplementedError

    def tangent(self, u: Any) -> Array:
        """Return the output's derivative along u at the input and along the parameters' tangents.

        u is [..., R, M, N], or None where the input does not move; only a layer that is `perturbed`
        is asked with None.
        """
        raise NotImplementedError

    def perturbed(self) -> bool:
        """Return whether the output moves although the input does not: some parameter has a tangent."""
        return any(parameter.tangent is not None for parameter in self.parameters())

    @property
    def uses_upstream_gradient(self) -> bool:
        """Whether `backward` uses the gradient from above: direct feedback does not."""
        return True

    def exact_copy(self) -> "Layer":
        """Return a copy whose backward pass is exact back-propagation, for measuring.

        The copy shares all arrays and the numbers of the last forward pass; its gradients are its own.
        A layer that holds other layers copies them, too.
        """
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                setattr(twin, name, copy.copy(value))
        return twin

    def noise_slots(self, batch_size: int) -> int:
        """Return how many variates of selection noise a step takes, of all products together."""
        return sum(product.slots(batch_size) for product in self.products().values())

    def observations(self) -> dict[str, Array]:
        """Return, and reset, the measurements since the last call: name -> mean [R]."""
        seen = {}
        for name, product in self.products().items():
            prefix = f"{name}_" if name in ("forward", "input") else ""
            for quantity, value in product.observations().items():
                seen[prefix + quantity] = value
        return seen

    def spent(self) -> dict[str, Array]:
        """Return, and reset, the costs of training steps since the last call: name -> total [R]."""
        return add_up(*(product.spent() for product in self.products().values()))

    def saved(self) -> dict[str, Any]:
        """Return the state that must be saved with the parameters.

        Values are arrays, numbers, None, dataclasses, dicts or lists.
        """
        return {name: product.state for name, product in self.products().items()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over the state that `saved` returned."""
        for name, product in self.products().items():
            product.state = saved[name]


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
        wanted = self._wanted(needs_input)[:-1]
        for layer, wants_input in zip(reversed(self.layers), reversed(wanted), strict=True):
            if wants_input or layer.parameters():
                carried = layer.backward(carried, step, needs_input=wants_input)
        return carried if needs_input else None

    def _wanted(self, needs_input: bool) -> list[bool]:
        """Return whether some layer uses the gradient at the input of each layer and, last, at the output.

        False below the first layer with parameters, and between a direct-feedback layer and the next
        layer above it with parameters: those products are never computed.
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
        """Return the pieces, from the input up, whose backward passes do not wait for each other.

        A piece ends with a layer of direct feedback, whose backward takes None; without direct feedback
        there is one piece.
        """
        below = self.layers[:-1]
        ends = [i + 1 for i, layer in enumerate(below) if not layer.uses_upstream_gradient]
        starts = [0, *ends]
        ends.append(len(self.layers))
        return [Chain(*self.layers[a:b]) for a, b in zip(starts, ends, strict=True)]

    def tangent(self, u: Any) -> Array:
        for layer in self.layers:
            if u is not None or layer.perturbed():
                u = layer.tangent(u)
        if u is None:
            raise ValueError("expected a direction, got none: give u, or some parameter a tangent")
        return u
