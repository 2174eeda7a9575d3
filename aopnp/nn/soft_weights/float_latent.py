"""The soft weight as a number of the network's dtype: 32 bits for each weight in float32.

s <- clip(s + d, -1, 1)        (Courbariaux et al. 2015)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.nn.soft_weights.storage import Storage, sign


@dataclass(frozen=True)
class FloatLatent(Storage):
    """The stored value is s itself [R, S]."""

    def encode(self, s: Array) -> Array:
        clipped: Array = array_module(s).clip(s, -1, 1)
        return clipped

    def signs(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        return sign(value)

    def soft(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        return value

    def move(self, value: Array, d: Array, uniform: Callable[[], Array]) -> None:
        value[...] = array_module(value).clip(value + d, -1, 1)
