"""Winner-take-all column-row sampling (WTA-CRS; Liu et al., NeurIPS 2023).

    keep the c rows of largest P = w / W
    draw K - c of the remaining rows, in proportion to P, with replacement,
    each at weight tail_c / ((K - c) P), tail_c = the sum of P over the remaining rows
    c = argmin of tail_c / (K - c)

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
    """Keep the largest rows for sure and draw the rest of the budget from the tail.

    Rows of the tail may repeat.
    """

    scaled: ClassVar[bool] = True

    def __call__(self, log_norms: Array, noise: Array, k: Array) -> Selection:
        check_draws(k)
        xp = array_module(log_norms, noise)
        R, n = log_norms.shape
        K = int(k.max())
        budget = xp.asarray(k)
        w = relative(log_norms)
        order = k_best(w, np.full(R, n)).rows
        ordered = xp.take_along_axis(w, order, 1)
        c = winners(ordered, budget)
        # Places, in the order of the scores: the winners, then the drawn rows of the tail.
        is_winner = xp.arange(n) < c[:, None]
        tail = xp.where(is_winner, 0.0, ordered)
        drawn, weights = draw_places(tail, noise[:, :K], budget - c)
        sure = xp.arange(K) < c[:, None]
        places = xp.where(sure, xp.arange(K), drawn)
        rows = xp.take_along_axis(order, places, 1)
        weights = xp.where(sure, 1.0, weights)
        count = xp.where(tail.any(-1), budget, c)
        return first_of(rows, weights, count)


def winners(ordered: Array, k: Array) -> Array:
    """Return how many of the largest scores are kept for sure: c [R].

    ordered [R, n] are the scores, the largest first; k [R] is at most n.
    """
    xp = array_module(ordered, k)
    R, n = ordered.shape
    smallest_first = ordered[:, ::-1]
    sums = xp.cumsum(smallest_first, -1)
    # The sum of the scores behind the c largest, for c = 0 .. n.
    tails = xp.concatenate([sums[:, ::-1], xp.zeros((R, 1))], -1)
    draws = k[:, None] - xp.arange(n + 1)
    # No draw at all is a choice only where no tail is left.
    complete = (draws == 0) & (tails == 0)
    ratio = tails / xp.maximum(draws, 1)
    undrawn = xp.where(complete, 0.0, np.inf)
    ratio = xp.where(draws > 0, ratio, undrawn)
    return ratio.argmin(-1)


wta = WinnerTakeAll()
