"""Winner-take-all column-row sampling (WTA-CRS; Liu et al., NeurIPS 2023).

    keep the c rows of largest P = w / W; draw K - c of the others, in proportion to P, with replacement,
    each at weight tail_c / ((K - c) P), tail_c = the sum of P over the others        c = argmin of tail_c / (K - c)

Where at most K scores are nonzero these rows are kept and nothing is drawn.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.policies.chances import relative
from aopnp.estimators.policies.draws import draw_places, first_of
from aopnp.estimators.policies.largest_keys import k_best
from aopnp.estimators.policies.policy import Selection, check_draws


@dataclass(frozen=True)
class WinnerTakeAll:
    """Keep the largest rows for sure and draw the rest of the budget from the tail; rows may repeat."""

    scaled: ClassVar[bool] = True

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp, (R, n), K = array_module(log_norms, noise), log_norms.shape, int(k.max())
        w, budget = relative(log_norms), xp.asarray(k)
        order = k_best(w, np.full(R, n)).rows
        ordered = xp.take_along_axis(w, order, 1)
        c = winners(ordered, budget)
        tail = xp.where(xp.arange(n) < c[:, None], 0.0, ordered)
        places, weights = draw_places(tail, noise[:, :K], budget - c)
        sure = xp.arange(K) < c[:, None]
        rows = xp.take_along_axis(order, xp.where(sure, xp.arange(K), places), 1)
        return first_of(rows, xp.where(sure, 1.0, weights), xp.where(tail.any(-1), budget, c))


def winners(ordered: Array, k: Array) -> Array:
    """Return c [R], how many of the largest scores are kept for sure; ordered [R, n] falls, k [R] <= n."""
    xp, (R, n) = array_module(ordered, k), ordered.shape
    tails = xp.concatenate([xp.cumsum(ordered[:, ::-1], -1)[:, ::-1], xp.zeros((R, 1))], -1)
    draws = k[:, None] - xp.arange(n + 1)
    # No draw at all is a choice only where no tail is left.
    ratio = xp.where(
        draws > 0, tails / xp.maximum(draws, 1), xp.where((draws == 0) & (tails == 0), 0.0, np.inf)
    )
    return ratio.argmin(-1)


wta = WinnerTakeAll()
