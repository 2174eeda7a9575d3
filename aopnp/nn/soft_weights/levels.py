"""The soft weight in b bits: one of 2^b levels, moved by displacements rounded to whole levels.

    s = -1 + Delta j        j in 0 .. 2^b - 1        Delta = 2 / (2^b - 1)
    j <- clip(j + floor(d / Delta + u), 0, 2^b - 1)

With stochastic rounding u is uniform in (0, 1), one variate for each weight and step: where
nothing is clipped, E[s] moves by d exactly, however small d is compared with Delta. Rounding to the
nearest level has u = 1/2: a weight then stalls wherever -Delta/2 <= d < Delta/2. No level is zero,
and w = sign(s) is the top bit of j: there is no separate binary copy.

One bit has no memory. With stochastic rounding w flips with probability clip(-w d / 2, 0, 1), so
that E[w'] = clip(w + d, -1, 1). Rounding to the nearest level is the naive rule w <- sign(w + d):
at |d| < 1 nothing ever flips; at d = 1 a weight of -1 flips, since sign(0) = 1.

The levels are stored as b planes of bits [R, b, ceil(S / 8)], 32 / b times smaller than float32.
No level represents NaN: a NaN among the displacements moves nothing. The failure shows elsewhere,
because a gradient that is NaN here is also NaN in the real parameters nearby, a bias or the
parameters of batch normalisation.
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
    """Soft weights of b = `bits` bits; the stored value is uint8 [R, b, ceil(S / 8)]."""

    bits: int
    """From 1 to 8."""
    rounding: Literal["stochastic", "nearest"] = "stochastic"

    def __post_init__(self) -> None:
        if not isinstance(self.bits, int) or not 1 <= self.bits <= 8:
            raise ValueError(
                f"expected soft weights of 1 to 8 bits, got {self.bits}; "
                "FloatLatent holds soft weights of more bits"
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
        levels = xp.clip(nearest, 0, self.top).astype(np.uint8)
        return pack_levels(levels, self.bits)

    def signs(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        both = array_module(value).asarray(np.array([-1, 1], dtype))
        w: Array = unpack_signs(value, both, S=S)
        return w

    def soft(self, value: Array, S: int, dtype: np.dtype[Any]) -> Array:
        levels = unpack_levels(value, S=S)
        return ((2.0 * levels - self.top) / self.top).astype(dtype)

    def move(self, value: Array, d: Array, uniform: Callable[[], Array]) -> None:
        if self.rounding == "stochastic":
            u = uniform()
        else:
            u = array_module(value).full((1, 1), 0.5)
        move_levels(value, d, u)
