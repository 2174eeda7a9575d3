"""The policy that the code published with arXiv 1805.08079 uses in its networks, frozen, for parity.

    p = 0.9 min(1, k w / W) + 0.1 / n, k at most the number of nonzero w        weight 1 / p

It differs from ClippedBernoulli(0.1) where that draws nothing: it takes the first k rows (a bias), and where all
scores are zero all rows, unscaled.
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
    """Bernoulli column-row sampling with the published quirks; unbiased but for the empty draw."""

    scaled: ClassVar[bool] = True

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp, n = array_module(log_norms, noise), log_norms.shape[1]
        w, present, k = relative(log_norms), log_norms != -np.inf, xp.asarray(k)[:, None]
        nonzero = (w > 0).sum(-1, keepdims=True)
        p = mixed(clipped(w, k[:, 0]), log_norms, 0.1)
        p = xp.where(wrong(log_norms) | (nonzero == 0), 1.0, p)
        kept = (uniforms(noise) <= p) & present
        first = present & (xp.cumsum(present, -1) <= xp.minimum(k, nonzero))
        kept = xp.where(kept.any(-1, keepdims=True), kept, first)
        return subset(kept, 1 / xp.where(kept, p, 1), n)


bernoulli_reference = ReferenceBernoulli()
