"""Back-propagation: forward pass, loss, functions in between, backward pass."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer
from aopnp.training.rules.rule import Rule

Between: TypeAlias = Callable[[Layer, Loss, Step], None]
"""`between(network, loss, step)`, called after the forward and before the backward pass."""


@dataclass(frozen=True)
class Backprop(Rule):
    """The error goes back through the layers; direct feedback takes it straight to its layer.

    `between` are functions that are called between the forward and the backward pass, in their
    order: measurements, or the learning of a feedback.
    """

    between: tuple[Between, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.between, tuple):
            raise TypeError(
                f"expected a tuple of functions, got {self.between!r}; write Backprop((function,))"
            )

    def __call__(
        self, network: Layer, loss: Loss, x: Array, target: Array, step: Step
    ) -> tuple[Array, Array]:
        y = network.forward(x, step)
        value = loss.forward(y, target)
        if step.loss is not loss:
            step = replace(step, loss=loss)
        for function in self.between:
            function(network, loss, step)
        self.backward(network, loss.backward(), step)
        return value, y

    def backward(self, network: Layer, g: Array, step: Step) -> None:
        """Fill the gradients from g = dloss/dy [R, M, P]."""
        network.backward(g, step, needs_input=False)


backprop = Backprop()
"""The rule of nearly all networks."""
