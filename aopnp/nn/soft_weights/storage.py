"""The interface of a storage, which holds soft weights s in [-1, 1] and moves them.

    w = sign(s), sign(0) = 1        s <- clip(s + d, -1, 1)

(Courbariaux et al. 2015 and 2016.) A storage works on the flattened weights of a layer, [R, S] with
S = N P. It has no state: the stored form is the `value` of a parameter.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module


def sign(x: Array) -> Array:
    """Return -1 or 1 in the dtype of x, and 1 where x is 0; NaN stays NaN."""
    return array_module(x).sign(x) + (x == 0)


class Storage:
    """A form in which soft weights are stored; the object is immutable.

    `value` is the stored form of S weights in each of R replicas.
    """

    def encode(self, s: Array) -> Array:
        """Return the stored form of s [R, S], or of the closest values that it can hold.

        Both arrays lie on the host.
        """
        raise NotImplementedError

    def signs(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        """Return the binary weights w [R, S] of `dtype`."""
        raise NotImplementedError

    def soft(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        """Return the soft weights s [R, S] of `dtype`."""
        raise NotImplementedError

    def move(self, value: Array, d: Array, uniform: Callable[[], Array]) -> None:
        """Move the soft weights by d [R, S], in place.

        `uniform()` returns variates of this step in (0, 1), float64 [R or 1, S].
        """
        raise NotImplementedError
