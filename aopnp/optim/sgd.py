"""Stochastic gradient descent with momentum, Nesterov momentum and weight decay.

    v <- mu v + gradient + wd w
    w <- w - lr_t v                              Nesterov: w <- w - lr_t (gradient + wd w + mu v)

The weight decay is the classical one, the gradient of wd/2 |w|^2: it passes through the momentum.
With `decoupled`, w shrinks by the share lr_t wd, and v adds up the gradients alone. Weight decay
shrinks every parameter, biases included. Without momentum, a gradient in factored form goes
straight into the weights and is never multiplied out.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.outer_products import Gradient, add_scaled, dense
from aopnp.nn.layer import Parameter
from aopnp.optim.optimiser import Optimiser
from aopnp.optim.schedules import Schedule


class SGD(Optimiser):
    """SGD with one step size lr, or one for each replica, [R]; `schedule` multiplies it."""

    def __init__(
        self,
        lr: float | Array = 0.01,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, schedule)
        if not 0 <= momentum < 1:
            raise ValueError(f"expected momentum from 0 to below 1, got {momentum}")
        if nesterov and momentum == 0:
            raise ValueError(
                "expected a momentum > 0 with nesterov, got 0; set momentum, for example 0.9"
            )
        self.momentum = momentum
        self.nesterov = nesterov
        self.decoupled = decoupled

    @property
    def state_kind(self) -> str:
        if self.momentum:
            return "SGD with momentum"
        return "SGD"

    def move(self, parameter: Parameter, lr: Array) -> None:
        assert parameter.grad is not None
        direction: Gradient = parameter.grad
        if self.momentum:
            direction = self._velocity(parameter, dense(direction))
        # Without momentum, classical and decoupled weight decay are the same.
        if self.weight_decay and (self.decoupled or not self.momentum):
            self.shrink(parameter.value, lr)
        add_scaled(parameter.value, direction, -lr)

    def _velocity(self, parameter: Parameter, gradient: Array) -> Array:
        """Move v by one step, and return the direction in which w moves."""
        w, mu = parameter.value, self.momentum
        if self.weight_decay and not self.decoupled:
            gradient = gradient + self.weight_decay * w
        if parameter not in self.state:
            self.state[parameter] = array_module(w).zeros_like(w)
        velocity = self.state[parameter]
        velocity *= mu
        velocity += gradient
        if self.nesterov:
            return gradient + mu * velocity
        return velocity
