"""Independent sampling with clipped probabilities (Bernoulli-CRS, arXiv 1805.08079).

    p = (1 - epsilon) min(1, K w / W) + epsilon / n        weight 1 / p
    E|S| = (1 - epsilon) sum of min(1, K w / W) + epsilon

W is the sum of the scores w. Nothing makes up for the clipping, and E|S| is often well below K. The
mixing comes after the clipping, so that even a row of clipped probability 1 is dropped with
probability up to epsilon (1 - 1 / n).
"""

from dataclasses import dataclass
from typing import ClassVar

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.per_replica import replica_values
from aopnp.estimators.policies.chances import mixed, relative, shares
from aopnp.estimators.policies.draws import draw_independently, width
from aopnp.estimators.policies.policy import Selection, check_draws


@dataclass(frozen=True)
class ClippedBernoulli:
    """Keep each row independently, with its clipped and mixed probability.

    epsilon is a number or [R].
    """

    scaled: ClassVar[bool] = True
    epsilon: float | Array = 0.0

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        R, n = log_norms.shape
        xp = array_module(log_norms, noise)
        epsilon = xp.asarray(replica_values(self.epsilon, R))
        p = clipped(relative(log_norms), xp.asarray(k))
        p = mixed(p, log_norms, epsilon[:, None])
        return draw_independently(p, log_norms, noise, width(k, n))


def clipped(w: Array, k: Array) -> Array:
    """Return min(1, k w / W) [R, n] of scores w [R, n] >= 0; W is their sum.

    k [R] is lowered to the number of nonzero scores where it is larger.
    """
    xp = array_module(w, k)
    nonzero = (w > 0).sum(-1)
    k = xp.minimum(k, nonzero)
    return xp.minimum(1, k[:, None] * shares(w))


bernoulli_clipped = ClippedBernoulli()
