"""Two optimisers: one for the network, one of its own, with its own schedule, for the feedback path.

Direct Kolen-Pollack trains its feedback matrices so (Webster, Choi and Ahn): both move after one backward pass.
"""

from collections.abc import Sequence
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.optim.optimiser import Optimiser


class Apart(Optimiser):
    """`network` moves all parameters but those of the feedback path, which `feedback` moves."""

    def __init__(self, network: Optimiser, feedback: Optimiser) -> None:
        super().__init__(network.base_lr, network.weight_decay, network.schedule)
        self.network, self.feedback = network, feedback

    def lr(self, step: int) -> Array:
        return self.network.lr(step)

    @property
    def kind(self) -> str:
        return f"{self.network.kind}, and {self.feedback.kind} for feedback"

    def feedback_lr(self, step: int) -> Array:
        return self.feedback.lr(step)

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        own = step.lr if step.feedback_lr is None else step.feedback_lr
        for parameter in parameters:
            assert parameter.grad is not None
            self.move(parameter, parameter.grad, own if parameter.feedback else step.lr)

    def move(self, parameter: Parameter, gradient: Gradient, lr: Array) -> None:
        self._of(parameter).move(parameter, gradient, lr)

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        return [self._of(parameter).state.get(parameter) for parameter in parameters]

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        for optimiser in (self.network, self.feedback):
            optimiser.restore(parameters, saved)

    def _of(self, parameter: Parameter) -> Optimiser:
        return self.feedback if parameter.feedback else self.network
