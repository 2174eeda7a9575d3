"""The policy in the code published with arXiv 1805.08079, kept as it is there, for parity.

    p = 0.9 min(1, k w / W) + 0.1 / n, k at most the number of nonzero w        weight 1 / p

W is the sum of the scores w. The published code uses this policy in its networks. It differs from
ClippedBernoulli(0.1) in two cases. Where the draw keeps nothing, it takes the first k rows, which
is a bias. Where all scores are zero, it takes all rows, unscaled.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.policies.chances import mixed, relative, uniforms, wrong
from aopnp.estimators.policies.clipped import clipped
from aopnp.estimators.policies.draws import subset
from aopnp.estimators.policies.policy import Selection, check_draws


@dataclass(frozen=True)
class ReferenceBernoulli:
    """Bernoulli column-row sampling with the published quirks; only the empty draw is a bias."""

    scaled: ClassVar[bool] = True

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp = array_module(log_norms, noise)
        n = log_norms.shape[1]
        k = xp.asarray(k)
        w = relative(log_norms)
        nonzero = (w > 0).sum(-1, keepdims=True)
        p = mixed(clipped(w, k), log_norms, 0.1)
        certain = wrong(log_norms) | (nonzero == 0)
        p = xp.where(certain, 1.0, p)
        present = log_norms != -np.inf
        kept = (uniforms(noise) <= p) & present
        # Where the draw is empty, the first k rows take its place.
        place = xp.cumsum(present, -1)
        first = present & (place <= xp.minimum(k[:, None], nonzero))
        any_kept = kept.any(-1, keepdims=True)
        kept = xp.where(any_kept, kept, first)
        weights = 1 / xp.where(kept, p, 1)
        return subset(kept, weights, n)


bernoulli_reference = ReferenceBernoulli()
