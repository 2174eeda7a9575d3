"""Stochastic gradient descent with momentum and Nesterov momentum.

    v <- mu v + gradient        w <- w - lr_t v        (Nesterov: w <- w - lr_t (gradient + mu v))

Without momentum a gradient in factored form goes straight into the weights and is never multiplied out.
"""

from collections.abc import Sequence

import numpy as np

from aopnp.backend import Array
from aopnp.layer import Parameter, Step
from aopnp.optim.schedules import Schedule, constant
from aopnp.outer_products import add_scaled, dense


class SGD:
    """lr is a number or [R], one step size a replica; `schedule` multiplies it at every step."""

    def __init__(
        self, lr: float | Array = 0.01, momentum: float = 0.0, *, nesterov: bool = False, schedule: Schedule = constant
    ) -> None:
        if not (np.isfinite(lr).all() and np.min(lr) > 0):
            raise ValueError(f"expected finite step sizes > 0, got lr = {lr}")
        if not 0 <= momentum < 1:
            raise ValueError(f"expected momentum from 0 to below 1, got {momentum}")
        if nesterov and momentum == 0:
            raise ValueError("expected a momentum > 0 with nesterov, got 0; set momentum, for example 0.9")
        self.base_lr = np.atleast_1d(np.asarray(lr, np.float64))
        self.momentum, self.nesterov, self.schedule = momentum, nesterov, schedule
        self.velocity: dict[Parameter, Array] = {}

    def lr(self, step: int) -> Array:
        """Return the step size lr_t [R or 1] of training step `step`."""
        return self.base_lr * self.schedule(step)

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        """Move every parameter by one step of size `step.lr` along its gradient, in place."""
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None
            if self.momentum:
                add_scaled(parameter.value, self._direction(parameter), -step.lr)
            else:
                add_scaled(parameter.value, gradient, -step.lr)

    def _direction(self, parameter: Parameter) -> Array:
        assert parameter.grad is not None
        gradient, mu = dense(parameter.grad), self.momentum
        velocity = self.velocity[parameter] = mu * self.velocity.get(parameter, 0 * gradient) + gradient
        return gradient + mu * velocity if self.nesterov else velocity
