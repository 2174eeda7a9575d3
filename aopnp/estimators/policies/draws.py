"""From chances to a Selection, without reading anything from the device: two ways to draw.

    independently       row i is kept with probability p_i, at weight 1 / p_i       (the number kept is random)
    with replacement    count rows, each i with probability P_i, at weight 1 / (count P_i)     (rows may repeat)

Both are unbiased for any chances that are positive wherever the outer product is not zero.
"""

import math

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import inverse_cdf, select
from aopnp.estimators.policies.chances import uniforms, wrong
from aopnp.estimators.policies.policy import Selection

BELOW_ONE = 1 - 2.0**-52
"""A uniform variate that is 1 after rounding would point behind the last row: u * total must stay below total."""


def width(k: Array, n: int) -> int:
    """Return a number of rows that n independent draws of k [R] expected ones exceed with probability below 1e-15.

    The list of kept rows must have a size that is known before the draw. Bernstein: a sum of independent 0/1 variates
    of mean at most k (so of variance at most k) exceeds k + t with probability at most exp(-t^2 / (2 k + 2 t / 3)),
    which is 1e-15 = exp(-L) at t = L / 3 + sqrt(L^2 / 9 + 2 L k).
    """
    third = math.log(1e15) / 3
    return min(n, math.ceil(k.max() + third + math.sqrt(third**2 + 6 * third * k.max())))


def first_of(rows: Array, weights: Array, count: Array) -> Selection:
    """Return the Selection of the first count [R] of rows and weights [R, K]."""
    xp = array_module(rows, weights, count)
    listed = xp.arange(rows.shape[1]) < count[:, None]
    return Selection(xp.where(listed, rows, rows[:, :1]), xp.where(listed, weights, 0.0), count)


def subset(kept: Array, weights: Array, most: int) -> Selection:
    """Return the Selection of the rows where `kept` [R, n], in increasing order, at weights [R, n]; `most` at most."""
    xp, (R, n) = array_module(kept, weights), kept.shape
    count = xp.minimum(kept.sum(-1), most)
    keys = xp.where(kept, 0.0, -np.inf)  # ties go to the lower row
    rows, listed = select(keys, xp.zeros((1, n)), xp.ones(R), xp.zeros(R), count, K=most)
    return Selection(rows, listed * xp.take_along_axis(weights, rows, 1), count)


def draw_independently(p: Array, log_norms: Array, noise: Array, most: int) -> Selection:
    """Keep each row with probability p [R, n], at weight 1 / p; one that went wrong always."""
    xp = array_module(p, log_norms, noise)
    p = xp.where(wrong(log_norms), 1.0, p)
    kept = (uniforms(noise) <= p) & (p > 0)
    return subset(kept, 1 / xp.where(kept, p, 1), most)


def draw_with_replacement(chances: Array, noise: Array, count: Array, most: int) -> Selection:
    """Draw count [R] <= most rows, independently of each other, with P = chances [R, n] / their sum.

    Where all chances are zero nothing is drawn.
    """
    rows, weights = draw_places(chances, noise[:, :most], count)
    return first_of(rows, weights, array_module(rows).where(chances.any(-1), count, 0))


def draw_places(chances: Array, noise: Array, count: Array) -> tuple[Array, Array]:
    """Return for each variate of noise [R or 1, K] a row drawn by chances [R, n], and the weight 1 / (count P) [R, K].

    The weight is 0 where nothing can be drawn.
    """
    xp = array_module(chances, noise, count)
    cdf = xp.cumsum(chances, -1)
    total = cdf[:, -1:]
    rows = inverse_cdf(cdf, xp.minimum(uniforms(noise), BELOW_ONE) * total)
    chance = xp.take_along_axis(chances, rows, 1)
    return rows, total / xp.where(chance > 0, xp.maximum(count, 1)[:, None] * chance, np.inf)
