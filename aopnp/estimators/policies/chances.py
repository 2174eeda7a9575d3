"""Scores as chances: what the sampling policies make of log norms.

The scores w [R, n] are only needed up to a factor, so the largest is 1: nothing overflows. What is smaller than
1e-308 of it counts as zero.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.log_norms import FLOOR


def wrong(log_norms: Array) -> Array:
    """Return which rows are NaN or +inf, bool [R, n]: they are chosen at once."""
    return ~(log_norms < np.inf)


def relative(log_norms: Array) -> Array:
    """Return w / max(w) [R, n], 0 at FLOOR and in empty slots.

    Beside a row that went wrong all others are zero: it has infinite weight, and it must not hide.
    """
    xp = array_module(log_norms)
    bad = wrong(log_norms)
    logs = xp.where(bad | (log_norms <= FLOOR), -np.inf, log_norms)
    largest = xp.maximum(logs.max(-1, keepdims=True), FLOOR)
    return xp.where(bad.any(-1, keepdims=True), bad, xp.exp(logs - largest))


def shares(w: Array) -> Array:
    """Return P = w / W [R, n], W the sum; all zero where W is."""
    xp = array_module(w)
    W = w.sum(-1, keepdims=True)
    return w / xp.where(W > 0, W, 1)


def mixed(shares: Array, log_norms: Array, epsilon: float | Array) -> Array:
    """Return (1 - epsilon) shares + epsilon / n [R, n], n the number of slots that are not empty.

    The mixing bounds the weights by n / epsilon; no row that went wrong is thinned by it. epsilon a number or [R, 1].
    """
    xp = array_module(shares, log_norms)
    present = log_norms != -np.inf
    flat = present / xp.maximum(present.sum(-1, keepdims=True), 1)
    return xp.where(
        wrong(log_norms).any(-1, keepdims=True), shares, (1 - epsilon) * shares + epsilon * flat
    )


def uniforms(noise: Array) -> Array:
    """Return the uniform variates that standard Gumbel noise is made of: u = exp(-exp(-noise))."""
    xp = array_module(noise)
    return xp.exp(-xp.exp(-noise))
