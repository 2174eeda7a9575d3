"""Numbers that may differ between replicas: K, decay, step size, a policy's alpha and beta.

Each of them is a number that all replicas share, or an array [R] with one number for each replica.
"""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array


def replica_values(value: float | Array, replicas: int, dtype: Any = np.float64) -> Array:
    """Return `value`, a number, [1] or [R], as a contiguous array [R] of `dtype` on the host."""
    if isinstance(value, np.ndarray) and value.shape == (replicas,):
        return np.ascontiguousarray(value, dtype)
    return np.full(replicas, value, dtype)
