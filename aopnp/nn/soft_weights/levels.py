"""The soft weight in b bits: one of 2^b levels, bit-packed, moved by displacements rounded to whole levels.

    s = -1 + Delta j        j in 0 .. 2^b - 1        Delta = 2 / (2^b - 1)
    j <- clip(j + floor(d / Delta + u), 0, 2^b - 1)

u is uniform in (0, 1), one variate for each weight and step: where nothing is clipped E[s] moves by d exactly, however
small d is beside Delta. With u = 1/2, "nearest", a weight stalls wherever -Delta/2 <= d < Delta/2. No level is zero,
and w = sign(s) is the top bit of j: there is no separate binary copy.

One bit has no memory. Stochastic, w flips with probability clip(-w d / 2, 0, 1), so that E[w'] = clip(w + d, -1, 1);
nearest, it is the naive rule w <- sign(w + d): at |d| < 1 nothing ever flips, at d = 1 a -1 does, since sign(0) = 1.

Stored as b planes of bits [R, b, ceil(S / 8)], 32 / b times smaller than float32. No level stands for NaN: a NaN among
the displacements moves nothing. What brought it shows elsewhere, for a gradient that is NaN here is NaN in the real
parameters beside, a bias or those of batch normalisation, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import move_levels, pack_levels, unpack_levels, unpack_signs
from aopnp.nn.soft_weights.storage import Storage


@dataclass(frozen=True)
class Levels(Storage):
    """`bits` from 1 to 8; `rounding` stochastic or nearest. The value is the bit planes, uint8 [R, b, ceil(S / 8)]."""

    bits: int
    rounding: Literal["stochastic", "nearest"] = "stochastic"

    def __post_init__(self) -> None:
        if not isinstance(self.bits, int) or not 1 <= self.bits <= 8:
            raise ValueError(
                f"expected soft weights of 1 to 8 bits, got {self.bits}; more is what FloatLatent is for"
            )
        if self.rounding not in ("stochastic", "nearest"):
            raise ValueError(f"expected the rounding stochastic or nearest, got {self.rounding!r}")

    @property
    def top(self) -> int:
        """The highest level: Delta = 2 / top."""
        return 2**self.bits - 1

    def encode(self, s: Array) -> Array:
        xp = array_module(s)
        nearest = xp.floor((s.astype(np.float64) + 1) * self.top / 2 + 0.5)
        return pack_levels(xp.clip(nearest, 0, self.top).astype(np.uint8), self.bits)

    def signs(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        w: Array = unpack_signs(value, array_module(value).asarray(np.array([-1, 1], dtype)), S=S)
        return w

    def soft(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        return ((2.0 * unpack_levels(value, S=S) - self.top) / self.top).astype(dtype)

    def move(self, value: Array, d: Array, uniform: Callable[[], Array]) -> None:
        chance = (
            uniform() if self.rounding == "stochastic" else array_module(value).full((1, 1), 0.5)
        )
        move_levels(value, d, chance)
