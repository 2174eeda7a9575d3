"""Column-row sampling: K draws with replacement, rescaled.

    P = (1 - epsilon) w / W + epsilon / n        weight 1 / (K P)
    E |error|^2 = (sum of w^2 / P - |C|^2) / K

W is the sum of the scores w, and C the sum of all outer products. epsilon = 0 minimises that error;
epsilon = 1 draws uniformly. (arXiv 1805.08079; Drineas, Kannan and Mahoney 2006.)
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
    """Draw k rows, independently of each other, with the mixed probabilities.

    epsilon is a number or [R].
    """

    scaled: ClassVar[bool] = True
    epsilon: float | Array = 0.0

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        R = len(log_norms)
        xp = array_module(log_norms, noise)
        epsilon = xp.asarray(replica_values(self.epsilon, R))
        P = shares(relative(log_norms))
        P = mixed(P, log_norms, epsilon[:, None])
        most = int(k.max())
        return draw_with_replacement(P, noise, xp.asarray(k), most)


crs = ColumnRowSampling()
crs_uniform = ColumnRowSampling(epsilon=1.0)
