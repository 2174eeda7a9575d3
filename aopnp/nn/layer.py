"""The parts of a network: the parameter and the interface of a layer.

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
    """The parameter group; "feedback" is that of the feedback path.

    The groups may have different optimisers.
    """

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
        """Return the represented array: `value`, unless the weights are packed."""
        return self.value


class Layer:
    """A differentiable map with three passes, tied by `<backward(g), u> = <g, tangent(u)>`.

    `backward` and `tangent` read the numbers that the last `forward` pass left in the layer. A
    subclass overrides the methods that concern it.
    """

    def walk(self) -> Iterator["Layer"]:
        """Yield this layer; a layer that holds other layers yields these instead, in order."""
        yield self

    def parameters(self) -> list[Parameter]:
        """Return the trained arrays of this layer and of all layers inside it."""
        return []

    def products(self) -> dict[str, Product]:
        """Return the estimated sums of outer products of this layer alone, by name.

        Selection noise, the ledger, measurements and saving walk through them. A sum over the rows
        of the batch comes last.
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

        u is [..., R, M, N], or None where the input does not move. Callers pass None only to a
        layer that is `perturbed`.
        """
        raise NotImplementedError

    def perturbed(self) -> bool:
        """Return whether some parameter has a tangent.

        The output then moves even if the input does not.
        """
        return any(parameter.tangent is not None for parameter in self.parameters())

    @property
    def uses_upstream_gradient(self) -> bool:
        """Whether `backward` uses the gradient from the layer above; direct feedback does not."""
        return True

    def exact_copy(self) -> "Layer":
        """Return a copy whose backward pass is exact back-propagation, for measuring.

        The copy shares all arrays and the numbers of the last forward pass, but not the gradients.
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
            for quantity, value in product.observations().items():
                if name in ("forward", "input"):
                    quantity = f"{name}_{quantity}"
                seen[quantity] = value
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
