"""Bop, the binary optimiser: it flips bits, and nothing real stands behind them (Helwegen et al. 2019, algorithm 1).

    m <- (1 - gamma_t) m + gamma_t g        w <- -w where |m| > tau and sign(m) = sign(w)

The accumulator m is real: 32 bits a weight beside the one of w. gamma_t = gamma gamma_schedule(t). Of soft weights, to
which a flip is a displacement by -2 w, it needs one bit: Levels(1), "memoryless" in SOFT_WEIGHTS.
"""

from collections.abc import Sequence
from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.outer_products import Gradient, dense
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights import SoftWeight
from aopnp.optim.optimiser import Optimiser
from aopnp.optim.schedules import Schedule, constant


class Bop(Optimiser):
    """Flips binary weights; `rest` moves all other parameters. The state of a binary weight is m [R, N, P]."""

    def __init__(
        self,
        rest: Optimiser,
        gamma: float = 1e-3,
        tau: float = 1e-6,
        *,
        gamma_schedule: Schedule = constant,
    ) -> None:
        super().__init__(rest.base_lr, rest.weight_decay, rest.schedule)
        if not 0 < gamma <= 1:
            raise ValueError(f"expected a rate gamma above 0 and up to 1, got {gamma}")
        if not tau >= 0:
            raise ValueError(f"expected a threshold tau >= 0, got {tau}")
        self.rest, self.gamma, self.tau, self.gamma_schedule = rest, gamma, tau, gamma_schedule

    @property
    def kind(self) -> str:
        return f"Bop, and {self.rest.kind} for real weights"

    def lr(self, step: int) -> Array:
        return self.rest.lr(step)

    def feedback_lr(self, step: int) -> Array:
        return self.rest.feedback_lr(step)

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        self.rest.update([each for each in parameters if not isinstance(each, SoftWeight)], step)
        for parameter in parameters:
            if isinstance(parameter, SoftWeight):
                self._flip(parameter, step.index)

    def move(self, parameter: Parameter, gradient: Gradient, lr: Array) -> None:
        raise TypeError(
            "expected Bop to update all parameters at once, got one; write Bop(Apart(...))"
        )

    def _flip(self, parameter: SoftWeight, step: int) -> None:
        assert parameter.grad is not None
        if parameter not in self.state:
            self.state[parameter] = parameter.zeros()
        m, w = self.state[parameter], parameter.numbers()
        gamma = self.gamma * self.gamma_schedule(step)
        m *= 1 - gamma
        m += gamma * dense(parameter.grad)
        flips = (abs(m) > self.tau) & (array_module(m).sign(m) == w)
        parameter.move(-2 * w * flips, step)

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        of_rest = self.rest.saved(parameters)
        return [
            self.state.get(each, other) for each, other in zip(parameters, of_rest, strict=True)
        ]

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        soft = [isinstance(parameter, SoftWeight) for parameter in parameters]
        pairs = list(zip(saved, soft, strict=True))
        super().restore(parameters, [state if own else None for state, own in pairs])
        self.rest.restore(parameters, [None if own else state for state, own in pairs])
