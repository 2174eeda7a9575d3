"""Independent sampling by clipped probabilities (arXiv 1805.08079, Bernoulli-CRS).

    p = (1 - epsilon) min(1, K w / W) + epsilon / n        weight 1 / p

The clip is not made up for: E|S| = (1 - epsilon) sum of min(1, K w / W) + epsilon, often well below K. And since the
mixing comes after it, rows that are sure to be kept are dropped with probability up to epsilon (1 - 1 / n).
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
    """Keep each row independently with its clipped and mixed probability; epsilon a number or [R]."""

    scaled: ClassVar[bool] = True
    epsilon: float | Array = 0.0

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp = array_module(log_norms, noise)
        epsilon = xp.asarray(replica_values(self.epsilon, len(log_norms)))[:, None]
        p = mixed(clipped(relative(log_norms), xp.asarray(k)), log_norms, epsilon)
        return draw_independently(p, log_norms, noise, width(k, log_norms.shape[1]))


def clipped(w: Array, k: Array) -> Array:
    """Return min(1, k w / W) [R, n] of scores w [R, n] >= 0, with k [R] at most the number of nonzero w."""
    xp = array_module(w, k)
    return xp.minimum(1, xp.minimum(k, (w > 0).sum(-1))[:, None] * shares(w))


bernoulli_clipped = ClippedBernoulli()
