"""topk, weightedk, randk and weighted: one rule, four pairs (alpha, beta).

    keep the K rows of the largest keys        key_m = alpha log|x_m g_m^T| + beta Gumbel_m

topk, weightedk and randk are the policies of arXiv 2110.09164, section 3. (1, 0) keeps the largest
outer products; (0, 1) keeps any K rows, uniformly. (2, 1) draws K rows one after another without
replacement, each with probability proportional to the *squared* norm, which is the paper's score
(exponential or Gumbel keys draw so: Efraimidis and Spirakis 2006). (1, 1) does the same with the
norm itself (arXiv 1805.08079). Nothing is rescaled by M/K.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import select
from aopnp.estimators.policies.policy import Selection


@dataclass(frozen=True)
class LargestKeys:
    """Keep the rows of the K largest keys `alpha * log_norms + beta * noise`.

    alpha and beta are numbers or [R].
    """

    scaled: ClassVar[bool] = False
    alpha: float | Array
    beta: float | Array

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        """Select k [R] of n rows by log_norms [R, n] and Gumbel noise [R or 1, n].

        Ties go to the lower row.
        """
        xp = array_module(log_norms, noise)
        alpha = np.array(self.alpha, np.float64, ndmin=1)
        beta = np.array(self.beta, np.float64, ndmin=1)
        noise = xp.ascontiguousarray(noise)
        # An empty list still has a column: padding, at weight 0.
        K = max(1, int(k.max()))
        rows, weights = select(log_norms, noise, alpha, beta, k, K=K)
        return Selection(rows, weights, xp.asarray(k))


topk = LargestKeys(alpha=1.0, beta=0.0)
weightedk = LargestKeys(alpha=2.0, beta=1.0)
randk = LargestKeys(alpha=0.0, beta=1.0)
weighted = LargestKeys(alpha=1.0, beta=1.0)


def k_best(keys: Array, k: Array) -> Selection:
    """Return the Selection of the k largest keys, largest first, unscaled.

    keys is float64 [R, n]; k is [R] and lies on the host.
    """
    no_noise = array_module(keys).zeros((1, keys.shape[1]))
    return topk(keys, no_noise, k)
