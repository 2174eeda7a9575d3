"""topk, weightedk, randk and weighted: one rule, four pairs of numbers (arXiv 2110.09164, section 3).

    keep the K largest keys      alpha log|x_m g_m^T| + beta Gumbel_m

(1, 0) keeps the largest outer products; (0, 1) any K rows, uniformly. (2, 1) draws K rows one after another
without replacement, each with probability proportional to the *squared* norm, which is the paper's score
(that exponential or Gumbel keys draw so: Efraimidis and Spirakis 2006); (1, 1) does so by the norm itself
(arXiv 1805.08079). Nothing is rescaled by M/K.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import select
from aopnp.estimators.policies.policy import Selection


@dataclass(frozen=True)
class LargestKeys:
    """Keep the rows with the K largest keys `alpha * log_norms + beta * noise`; alpha and beta numbers or [R]."""

    scaled: ClassVar[bool] = False
    alpha: float | Array
    beta: float | Array

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        """Select k [R] of n rows by log_norms [R, n] and Gumbel noise [R or 1, n]; ties to the lower index."""
        xp = array_module(log_norms, noise)
        alpha = np.array(self.alpha, np.float64, ndmin=1)
        beta = np.array(self.beta, np.float64, ndmin=1)
        # An empty list still has a column: padding, at weight 0.
        K = max(1, int(k.max()))
        rows, weights = select(log_norms, xp.ascontiguousarray(noise), alpha, beta, k, K=K)
        return Selection(rows, weights, xp.asarray(k))


topk = LargestKeys(alpha=1.0, beta=0.0)
weightedk = LargestKeys(alpha=2.0, beta=1.0)
randk = LargestKeys(alpha=0.0, beta=1.0)
weighted = LargestKeys(alpha=1.0, beta=1.0)


def k_best(keys: Array, k: Array) -> Selection:
    """Return the Selection, unscaled, of the k [R] (on the host) largest keys float64 [R, n], largest first."""
    return topk(keys, array_module(keys).zeros((1, keys.shape[1])), k)
