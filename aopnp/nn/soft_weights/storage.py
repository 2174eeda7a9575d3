"""What a storage is: it holds soft weights s in [-1, 1], gives their signs, and takes displacements of them.

    w = sign(s), sign(0) = 1        s <- clip(s + d, -1, 1)        (Courbariaux et al. 2015 and 2016)

It sees the weights of a layer side by side, [R, S], and keeps nothing itself: what it stores is a parameter's value.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module


def sign(x: Array) -> Array:
    """Return -1 or 1, in the dtype of x, 1 for 0; NaN stays NaN."""
    return array_module(x).sign(x) + (x == 0)


class Storage:
    """How soft weights are held; frozen. `value` is what it stores of S weights in each of R replicas."""

    def encode(self, s: Array) -> Array:
        """Return the value that holds s [R, S], or what comes closest to it; on the host."""
        raise NotImplementedError

    def signs(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        """Return the binary weights w [R, S] of `dtype`."""
        raise NotImplementedError

    def soft(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        """Return the soft weights s [R, S] of `dtype`."""
        raise NotImplementedError

    def move(self, value: Array, d: Array, uniform: Callable[[], Array]) -> None:
        """Move by d [R, S], in place; `uniform()` gives variates of this step in (0, 1), float64 [R or 1, S]."""
        raise NotImplementedError
