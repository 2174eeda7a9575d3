"""Two groups of parameters, each with an optimiser and a schedule of its own: network and feedback path.

Direct Kolen-Pollack trains its feedback matrices so (Webster, Choi and Ahn): both groups move after one
backward pass.
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
        self.network, self.feedback = network, feedback

    @property
    def state_kind(self) -> str:
        return f"{self.network.state_kind}, and {self.feedback.state_kind} for feedback"

    def group_lr(self, step: int) -> dict[str, Array]:
        return {"feedback": self.feedback.lr(step)}

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        self.network.update([p for p in parameters if p.group != "feedback"], step)
        own_step = replace(step, lr=step.lr_of("feedback"))
        self.feedback.update([p for p in parameters if p.group == "feedback"], own_step)

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        of_network, of_feedback = (each.saved(parameters) for each in self._optimisers())
        triples = zip(parameters, of_network, of_feedback, strict=True)
        return [b if parameter.group == "feedback" else a for parameter, a, b in triples]

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        for optimiser in self._optimisers():
            pairs = [
                (parameter, state)
                for parameter, state in zip(parameters, saved, strict=True)
                if (parameter.group == "feedback") == (optimiser is self.feedback)
            ]
            optimiser.restore([parameter for parameter, _ in pairs], [state for _, state in pairs])

    def _optimisers(self) -> tuple[Optimiser, Optimiser]:
        return self.network, self.feedback
