"""The sign as an activation, with the straight-through estimator (Courbariaux et al. 2016, section 1.3).

    a = sign(z), sign(0) = 1        dz = da 1[|z| <= 1]        tangent a' = z' 1[|z| <= 1]

The derivative of a staircase is zero; the estimator takes that of clip(z, -1, 1) instead, in both directions, so that
forward gradients through it are unbiased estimates of what its backward pass computes.
"""

from aopnp.arrays.backend import Array
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.activations import Activation
from aopnp.nn.soft_weights import sign


class Sign(Activation):
    """-1 or 1, where the gradient passes if the input is within [-1, 1]; NaN stays NaN."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.passing = abs(x) <= 1
        return sign(x)

    def jacobian_product(self, v: Array) -> Array:
        return v * self.passing
