"""Column-row sampling: K draws with replacement, rescaled (arXiv 1805.08079; Drineas, Kannan and Mahoney 2006).

    P = (1 - epsilon) w / W + epsilon / n        weight 1 / (K P)        E |error|^2 = (sum of w^2 / P - |C|^2) / K

epsilon = 0 minimises that error; epsilon = 1 draws uniformly.
"""

from dataclasses import dataclass
from typing import ClassVar

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.per_replica import replica_values
from aopnp.estimators.policies.chances import mixed, relative, shares
from aopnp.estimators.policies.draws import draw_with_replacement
from aopnp.estimators.policies.policy import Selection, check_draws


@dataclass(frozen=True)
class ColumnRowSampling:
    """Draw k rows, independently of each other, by the mixed probabilities; epsilon a number or [R]."""

    scaled: ClassVar[bool] = True
    epsilon: float | Array = 0.0

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp = array_module(log_norms, noise)
        epsilon = xp.asarray(replica_values(self.epsilon, len(log_norms)))[:, None]
        chances = mixed(shares(relative(log_norms)), log_norms, epsilon)
        return draw_with_replacement(chances, noise, xp.asarray(k), int(k.max()))


crs = ColumnRowSampling()
crs_uniform = ColumnRowSampling(epsilon=1.0)
