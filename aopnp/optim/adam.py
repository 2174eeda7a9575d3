"""Adam with weight decay.

    m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
    w <- (1 - lr_t wd) w - lr_t (m / (1 - beta1^n)) / (sqrt(v / (1 - beta2^n)) + eps)

(Kingma and Ba 2015, algorithm 1.) The weight decay is decoupled (Loshchilov and Hutter 2019) or, if
that is asked for, L2 regularisation.

n counts the updates of this parameter from 1; the divisions make up for the start of m and v at
zero. The count is part of the state, so that a resumed run corrects as an uninterrupted one does.
"""

import math
from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.estimators.outer_products import dense
from aopnp.nn.layer import Parameter
from aopnp.optim.optimiser import Optimiser
from aopnp.optim.schedules import Schedule


@dataclass
class Moments:
    """Adam's state of one parameter; updated in place."""

    mean: Array
    """m: running mean of the gradients [R, ...]."""
    square: Array
    """v: running mean of their squares [R, ...]."""
    updates: int = 0
    """n: number of updates so far."""


class Adam(Optimiser):
    """Adam with one step size lr, or one for each replica, [R]; `schedule` multiplies it.

    Decoupled weight decay shrinks every parameter, biases included, by the share lr_t weight_decay
    and does not pass through the moments, as in AdamW. Without `decoupled`, weight decay is L2
    regularisation: wd w is added to g, and is scaled by 1/sqrt(v) as g is.
    """

    def __init__(
        self,
        lr: float | Array = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        decoupled: bool = True,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(lr, weight_decay, schedule)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"expected beta1 and beta2 from 0 to below 1, got {beta1} and {beta2}")
        if not 0 < eps < math.inf:
            raise ValueError(
                f"expected a finite eps > 0, got {eps}; it keeps a zero gradient from giving 0/0"
            )
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps
        self.decoupled = decoupled

    def move(self, parameter: Parameter, lr: Array) -> None:
        assert parameter.grad is not None
        w, g = parameter.value, dense(parameter.grad)
        xp = array_module(w)
        if parameter not in self.state:
            self.state[parameter] = Moments(xp.zeros_like(w), xp.zeros_like(w))
        moments = self.state[parameter]
        moments.updates += 1
        if self.weight_decay and not self.decoupled:
            g = g + self.weight_decay * w
        moments.mean *= self.beta1
        moments.mean += (1 - self.beta1) * g
        moments.square *= self.beta2
        moments.square += (1 - self.beta2) * (g * g)
        if self.weight_decay and self.decoupled:
            self.shrink(w, lr)
        # The corrections are numbers on the host: 1 - beta^n would lose digits in a float32 array.
        size = replica_factors(lr / (1 - self.beta1**moments.updates), w)
        correction = math.sqrt(1 - self.beta2**moments.updates)
        w -= size * moments.mean / (xp.sqrt(moments.square) / correction + self.eps)
