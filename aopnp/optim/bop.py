"""Bop, the binary optimiser: it flips bits, without real weights behind them.

    m <- (1 - gamma_t) m + gamma_t g        gamma_t = gamma gamma_schedule(t)
    w <- -w where |m| > tau and sign(m) = sign(w)

(Helwegen et al. 2019, algorithm 1.) The accumulator m is real: 32 bits for each weight of one bit.
The soft weights need only one bit, Levels(1), which SOFT_WEIGHTS calls "memoryless"; a flip
displaces it by -2 w.
"""

from collections.abc import Sequence
from typing import Any

from aopnp.arrays.backend import array_module
from aopnp.estimators.outer_products import dense
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights import SoftWeight
from aopnp.optim.composed import Composed
from aopnp.optim.optimiser import Optimiser
from aopnp.optim.schedules import Schedule


class Bop(Composed):
    """The optimiser of binary weights; `rest` moves all other parameters.

    The state of a binary weight is m [R, N, P].
    """

    def __init__(
        self,
        rest: Optimiser,
        gamma: float = 1e-3,
        tau: float = 1e-6,
        *,
        gamma_schedule: Schedule | None = None,
    ) -> None:
        super().__init__(rest)
        if not 0 < gamma <= 1:
            raise ValueError(f"expected a rate gamma above 0 and up to 1, got {gamma}")
        if not tau >= 0:
            raise ValueError(f"expected a threshold tau >= 0, got {tau}")
        self.gamma = gamma
        self.tau = tau
        self.gamma_schedule = gamma_schedule

    @property
    def state_kind(self) -> str:
        return f"Bop, and {self.inner.state_kind} for real weights"

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        real = [parameter for parameter in parameters if not isinstance(parameter, SoftWeight)]
        self.inner.update(real, step)
        gamma = self.gamma
        if self.gamma_schedule is not None:
            gamma = gamma * self.gamma_schedule(step.index)
        for parameter in parameters:
            if isinstance(parameter, SoftWeight):
                self._flip(parameter, gamma, step.index)

    def _flip(self, parameter: SoftWeight, gamma: float, step: int) -> None:
        """Flip the bits of one parameter."""
        assert parameter.grad is not None
        if parameter not in self.state:
            self.state[parameter] = parameter.zeros()
        m, w = self.state[parameter], parameter.numbers()
        m *= 1 - gamma
        m += gamma * dense(parameter.grad)
        flips = (abs(m) > self.tau) & (array_module(m).sign(m) == w)
        parameter.move(-2 * w * flips, step)

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        states = zip(parameters, self.inner.saved(parameters), strict=True)
        return [self.state.get(parameter, real) for parameter, real in states]

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        binary: list[Any] = [None] * len(parameters)
        real: list[Any] = [None] * len(parameters)
        for i, (parameter, state) in enumerate(zip(parameters, saved, strict=True)):
            if isinstance(parameter, SoftWeight):
                binary[i] = state
            else:
                real[i] = state
        Optimiser.restore(self, parameters, binary)
        self.inner.restore(parameters, real)
