"""S3, the derivative in one bit: estimate = (1/m) sum of sign(d_j) v_j, biased, as in SPSA with signs.

With `scaled`, times the mean of |d| over the step's directions: for m = 1 that is the plain estimate again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import Noise, check, for_all
from aopnp.training.directions.strategy import Strategy, Tangents, Trace, accumulate, gradients


@dataclass(frozen=True)
class Sign(Strategy):
    """`sign(d) v`; with `scaled`, mean |d| `sign(d) v`."""

    scaled: bool = False
    noise: Noise = "rademacher"

    def __post_init__(self) -> None:
        check(self.noise)

    def begin(self, trace: Trace, state: Any) -> list[Array]:
        """Return where the sizes |d| are gathered: how many chunks there are is not known here."""
        return []

    def sample(self, trace: Trace, directions: Sequence[int], state: Any) -> Tangents:
        return for_all(self.noise, trace, directions)

    def add(self, trace: Trace, d: Array, v: Tangents, state: list[Array]) -> None:
        state.append(abs(d))
        accumulate(trace, trace.xp.sign(d) / trace.num_dir, v)

    def end(self, trace: Trace, state: list[Array]) -> None:
        if self.scaled:
            size: Any = sum(each for chunk in state for each in chunk) / trace.num_dir
            for parameter, g in zip(trace.parameters, gradients(trace), strict=True):
                parameter.grad = g * size.reshape(-1, *(1,) * (g.ndim - 1)).astype(g.dtype)
