"""Knobs: numbers (K, decay, step size, alpha, beta) that all replicas share, or arrays [R] with one for each."""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module


def each(knob: float | Array, replicas: int, dtype: Any = np.float64) -> Array:
    """Return a number, [1] or [R], as a contiguous array [R] on the host."""
    if isinstance(knob, np.ndarray) and knob.shape == (replicas,):
        return np.ascontiguousarray(knob, dtype)
    return np.full(replicas, knob, dtype)


def per_replica(knob: float | Array, like: Array) -> Array:
    """Return a number or [R] as an array that multiplies `like` [R, ...] replica by replica, in its dtype and place."""
    values: Array = array_module(like).asarray(knob, like.dtype)
    return values.reshape(-1, *(1,) * (like.ndim - 1))
