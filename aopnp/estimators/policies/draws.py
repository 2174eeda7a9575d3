"""From chances to a Selection: two ways to draw, which read nothing back from the device.

    independently       row i is kept with probability p_i, at weight 1 / p_i
    with replacement    `count` rows, each i with probability P_i, at weight 1 / (count P_i)

The number of rows of an independent draw is random; with replacement rows may repeat. Both ways are
unbiased for any chances that are positive wherever the outer product is not zero.
"""

import math

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import inverse_cdf, select
from aopnp.estimators.policies.chances import uniforms, wrong
from aopnp.estimators.policies.policy import Selection

BELOW_ONE = 1 - 2.0**-52
"""The largest uniform variate u in use: u * total must stay below total.

A variate that is rounded to 1 would point behind the last row.
"""


def width(k: Array, n: int) -> int:
    """Return the length of the list of rows for independent draws of k [R] expected rows out of n.

    The length must be known before the draw. The number of drawn rows exceeds it with probability
    below 1e-15. By Bernstein's inequality, a sum of independent 0/1 variates of mean at most k (so
    of variance at most k) exceeds k + t with probability at most exp(-t^2 / (2 k + 2 t / 3)), which
    is 1e-15 = exp(-L) at t = L / 3 + sqrt(L^2 / 9 + 2 L k).
    """
    mean = k.max()
    third = math.log(1e15) / 3
    root = math.sqrt(third**2 + 6 * third * mean)
    return min(n, math.ceil(mean + third + root))


def first_of(rows: Array, weights: Array, count: Array) -> Selection:
    """Return the Selection of the first count [R] of rows and weights [R, K]."""
    xp = array_module(rows, weights, count)
    listed = xp.arange(rows.shape[1]) < count[:, None]
    rows = xp.where(listed, rows, rows[:, :1])
    weights = xp.where(listed, weights, 0.0)
    return Selection(rows, weights, count)


def subset(kept: Array, weights: Array, most: int) -> Selection:
    """Return the Selection of the rows where `kept` [R, n] is true, in increasing order.

    A row has its weight in `weights` [R, n]. Of more than `most` rows only the first are taken.
    """
    xp = array_module(kept, weights)
    R, n = kept.shape
    count = xp.minimum(kept.sum(-1), most)
    # All kept rows have the same key, and ties go to the lower row.
    keys = xp.where(kept, 0.0, -np.inf)
    no_noise = xp.zeros((1, n))
    alpha, beta = xp.ones(R), xp.zeros(R)
    rows, listed = select(keys, no_noise, alpha, beta, count, K=most)
    weights = listed * xp.take_along_axis(weights, rows, 1)
    return Selection(rows, weights, count)


def draw_independently(p: Array, log_norms: Array, noise: Array, most: int) -> Selection:
    """Return a Selection that keeps each row with probability p [R, n], at weight 1 / p.

    At most `most` rows are kept. A row that went wrong is always kept.
    """
    xp = array_module(p, log_norms, noise)
    p = xp.where(wrong(log_norms), 1.0, p)
    kept = (uniforms(noise) <= p) & (p > 0)
    weights = 1 / xp.where(kept, p, 1)
    return subset(kept, weights, most)


def draw_with_replacement(chances: Array, noise: Array, count: Array, most: int) -> Selection:
    """Return a Selection of count [R] <= most rows, drawn independently of each other.

    The chances [R, n] divided by their sum are the probabilities of the rows. Where all chances are
    zero nothing is drawn.
    """
    rows, weights = draw_places(chances, noise[:, :most], count)
    xp = array_module(rows)
    count = xp.where(chances.any(-1), count, 0)
    return first_of(rows, weights, count)


def draw_places(chances: Array, noise: Array, count: Array) -> tuple[Array, Array]:
    """Return a row drawn by chances [R, n] for each variate of noise [R or 1, K], and its weight.

    Rows and weights 1 / (count P) are [R, K]; P is the chance of a row, divided by the sum of all.
    The weight is 0 where nothing can be drawn.
    """
    xp = array_module(chances, noise, count)
    cdf = xp.cumsum(chances, -1)
    total = cdf[:, -1:]
    u = xp.minimum(uniforms(noise), BELOW_ONE)
    rows = inverse_cdf(cdf, u * total)
    chance = xp.take_along_axis(chances, rows, 1)
    draws = xp.maximum(count, 1)[:, None]
    divisor = xp.where(chance > 0, draws * chance, np.inf)
    return rows, total / divisor
