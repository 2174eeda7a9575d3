"""Scores as chances: the functions that turn log norms into the probabilities of sampling policies.

The scores w [R, n] are only needed up to a factor. They are scaled so that the largest is 1, and
nothing overflows. A score below 1e-308 of the largest counts as zero.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.log_norms import FLOOR


def wrong(log_norms: Array) -> Array:
    """Return which rows are NaN or +inf, bool [R, n]: a policy takes these rows at once."""
    return ~(log_norms < np.inf)


def relative(log_norms: Array) -> Array:
    """Return w / max(w) [R, n], 0 at FLOOR and in empty slots.

    In a replica with rows that are NaN or +inf, these rows get 1 and all other rows 0: a row that
    went wrong has infinite weight, and the failure must not hide.
    """
    xp = array_module(log_norms)
    bad = wrong(log_norms)
    zero = bad | (log_norms <= FLOOR)
    logs = xp.where(zero, -np.inf, log_norms)
    largest = logs.max(-1, keepdims=True)
    largest = xp.maximum(largest, FLOOR)
    w = xp.exp(logs - largest)
    any_bad = bad.any(-1, keepdims=True)
    return xp.where(any_bad, bad, w)


def shares(w: Array) -> Array:
    """Return P = w / W [R, n], where W is the sum of w; all zero where W is zero."""
    xp = array_module(w)
    W = w.sum(-1, keepdims=True)
    return w / xp.where(W > 0, W, 1)


def mixed(shares: Array, log_norms: Array, epsilon: float | Array) -> Array:
    """Return (1 - epsilon) shares + epsilon / n [R, n], n the number of slots that are not empty.

    epsilon is a number or [R, 1]. Mixing bounds the weights by n / epsilon. In a replica where a
    row went wrong nothing is mixed, so that this row is not thinned.
    """
    xp = array_module(shares, log_norms)
    present = log_norms != -np.inf
    n = xp.maximum(present.sum(-1, keepdims=True), 1)
    flat = present / n
    mixture = (1 - epsilon) * shares + epsilon * flat
    any_wrong = wrong(log_norms).any(-1, keepdims=True)
    return xp.where(any_wrong, shares, mixture)


def uniforms(noise: Array) -> Array:
    """Return the uniform variates u = exp(-exp(-noise)) that standard Gumbel noise is made of."""
    xp = array_module(noise)
    return xp.exp(-xp.exp(-noise))
