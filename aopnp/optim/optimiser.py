"""The interface of an optimiser: it moves parameters along their gradients.

    w <- w - lr_t direction(gradients so far)        lr_t = lr schedule(t)

It keeps a state for each parameter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, replica_factors
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights import SoftWeight
from aopnp.optim.schedules import Schedule


class Optimiser:
    """The base of all optimisers.

    lr is a number or [R], one step size for each replica; `schedule` multiplies it at every step.
    """

    def __init__(self, lr: float | Array, weight_decay: float, schedule: Schedule | None) -> None:
        if not (np.isfinite(lr).all() and np.min(lr) > 0):
            raise ValueError(f"expected finite step sizes > 0, got lr = {lr}")
        if not 0 <= weight_decay < np.inf:
            raise ValueError(
                f"expected a finite weight decay >= 0, got {weight_decay}; 0 turns it off"
            )
        self.base_lr = np.atleast_1d(np.asarray(lr, np.float64))
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.state: dict[Parameter, Any] = {}

    @property
    def state_kind(self) -> str:
        """The kind of state that this optimiser keeps.

        Only an optimiser of the same kind can go on with a saved state.
        """
        return type(self).__name__

    def lr(self, step: int) -> Array:
        """Return the step size lr_t [R or 1] of training step `step`, on the host."""
        if self.schedule is None:
            return self.base_lr
        return self.base_lr * self.schedule(step)

    def group_lr(self, step: int) -> dict[str, Array]:
        """Return the step sizes of parameter groups with a separate one: group -> [R or 1]."""
        return {}

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        """Move every parameter by one step along its gradient, in place.

        The step size is `step.lr`, or `self.lr(step.index)` where `step.lr` is None. Raises
        ValueError for soft weights, which `SoftWeightUpdate` moves.
        """
        lr = step.lr
        if lr is None:
            lr = self.lr(step.index)
        for parameter in parameters:
            packed = isinstance(parameter, SoftWeight)
            if packed and parameter.value.shape != parameter.shape:
                raise ValueError(
                    f"expected an optimiser that moves soft weights, got {self.state_kind} for the "
                    f"stored form of weights {parameter.shape}; put it into SoftWeightUpdate(...)"
                )
            self.move(parameter, lr)

    def move(self, parameter: Parameter, lr: Array) -> None:
        """Move one parameter [R, ...] along its gradient, in place, with step size lr [R or 1]."""
        raise NotImplementedError

    def shrink(self, w: Array, lr: Array) -> None:
        """w <- (1 - lr wd) w in place: decoupled weight decay (Loshchilov and Hutter 2019)."""
        # Not w (1 - lr wd): that factor would be rounded to float32, and a small decay lost.
        w -= replica_factors(lr * self.weight_decay, w) * w

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        """Return the state of each of `parameters`; None where there is none."""
        return [self.state.get(parameter) for parameter in parameters]

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        """Take over the states that `saved` returned as the states of `parameters`.

        All earlier states are dropped.
        """
        self.state = {}
        for parameter, state in zip(parameters, saved, strict=True):
            if state is not None:
                self.state[parameter] = state
