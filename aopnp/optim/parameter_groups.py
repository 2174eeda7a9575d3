"""Two groups of parameters with different optimisers and schedules: network and feedback path.

Direct Kolen-Pollack trains its feedback matrices in this way (Webster, Choi and Ahn): both groups
move after one backward pass.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.optim.composed import Composed
from aopnp.optim.optimiser import Optimiser


class ParameterGroups(Composed):
    """`network` moves all parameters but those of the group "feedback", which `feedback` moves."""

    def __init__(self, network: Optimiser, feedback: Optimiser) -> None:
        super().__init__(network)
        self.network = network
        self.feedback = feedback

    @property
    def state_kind(self) -> str:
        return f"{self.network.state_kind}, and {self.feedback.state_kind} for feedback"

    def group_lr(self, step: int) -> dict[str, Array]:
        return {"feedback": self.feedback.lr(step)}

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        network = [p for p in parameters if p.group != "feedback"]
        feedback = [p for p in parameters if p.group == "feedback"]
        self.network.update(network, step)
        self.feedback.update(feedback, replace(step, lr=step.lr_of("feedback")))

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        states = self.network.saved(parameters)
        feedback_states = self.feedback.saved(parameters)
        for i, parameter in enumerate(parameters):
            if parameter.group == "feedback":
                states[i] = feedback_states[i]
        return states

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        network: list[tuple[Parameter, Any]] = []
        feedback: list[tuple[Parameter, Any]] = []
        for parameter, state in zip(parameters, saved, strict=True):
            if parameter.group == "feedback":
                feedback.append((parameter, state))
            else:
                network.append((parameter, state))
        for optimiser, pairs in ((self.network, network), (self.feedback, feedback)):
            group = [parameter for parameter, _ in pairs]
            states = [state for _, state in pairs]
            optimiser.restore(group, states)
