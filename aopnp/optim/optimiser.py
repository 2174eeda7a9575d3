"""What an optimiser is: it moves parameters along their gradients, and keeps what it must remember of each.

w <- w - lr_t direction(gradients so far)        lr_t = lr schedule(t)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.per_replica import replica_factors
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.optim.schedules import Schedule


class Optimiser:
    """lr is a number or [R], one step size a replica; `schedule` multiplies it at every step."""

    def __init__(self, lr: float | Array, weight_decay: float, schedule: Schedule) -> None:
        if not (np.isfinite(lr).all() and np.min(lr) > 0):
            raise ValueError(f"expected finite step sizes > 0, got lr = {lr}")
        if not 0 <= weight_decay < np.inf:
            raise ValueError(
                f"expected a finite weight decay >= 0, got {weight_decay}; 0 turns it off"
            )
        self.base_lr = np.atleast_1d(np.asarray(lr, np.float64))
        self.weight_decay, self.schedule = weight_decay, schedule
        self.state: dict[Parameter, Any] = {}

    @property
    def kind(self) -> str:
        """What the state is that this optimiser keeps: only one of the same kind can go on with it."""
        return type(self).__name__

    def lr(self, step: int) -> Array:
        """Return the step size lr_t [R or 1] of training step `step`, on the host."""
        return self.base_lr * self.schedule(step)

    def feedback_lr(self, step: int) -> Array:
        """Return the step size [R or 1] of parameters of the feedback path: the same, unless they are set apart."""
        return self.lr(step)

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        """Move every parameter by one step of size `step.lr` along its gradient, in place.

        ValueError for soft weights, which `Displace` moves.
        """
        for parameter in parameters:
            assert parameter.grad is not None
            if parameter.value.shape != parameter.shape:
                raise ValueError(
                    f"expected an optimiser that moves soft weights, got {self.kind} for what is stored of weights "
                    f"{parameter.shape}; put it into Displace(...)"
                )
            self.move(parameter, parameter.grad, step.lr)

    def move(self, parameter: Parameter, gradient: Gradient, lr: Array) -> None:
        """Move one parameter, value [R, ...], by one step of size lr [R or 1] along `gradient`, in place."""
        raise NotImplementedError

    def shrink(self, w: Array, lr: Array) -> None:
        """w <- (1 - lr wd) w in place: weight decay that passes through nothing else (Loshchilov and Hutter 2019)."""
        if self.weight_decay:
            # Not w (1 - lr wd): that factor would be rounded to float32, and a small decay lost.
            w -= replica_factors(lr * self.weight_decay, w) * w

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        """Return what is remembered of each of `parameters`; None where that is nothing."""
        return [self.state.get(parameter) for parameter in parameters]

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        """Take over what `saved` returned, now for `parameters`; what was remembered is forgotten."""
        pairs = zip(parameters, saved, strict=True)
        self.state = {parameter: state for parameter, state in pairs if state is not None}
