"""The sign as an activation, with the straight-through estimator.

    a = sign(z), sign(0) = 1        dz = da 1[|z| <= 1]        tangent a' = z' 1[|z| <= 1]

(Courbariaux et al. 2016, section 1.3.) The derivative of a staircase is zero. The estimator takes
the derivative of clip(z, -1, 1) instead, in the backward and in the tangent pass: forward
gradients through this layer are therefore unbiased estimates of the gradient that its backward
pass computes.
"""

from aopnp.arrays.backend import Array
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.activations import Activation
from aopnp.nn.soft_weights import sign


class Sign(Activation):
    """-1 or 1. The gradient passes where the input lies within [-1, 1]; NaN stays NaN."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.passing = abs(x) <= 1
        return sign(x)

    def jacobian_product(self, v: Array) -> Array:
        return v * self.passing
