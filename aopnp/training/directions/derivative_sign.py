"""S3, the derivative in one bit: estimate = (1/m) sum of sign(d_j) v_j, biased, as in SPSA with signs.

With `scaled`, times the mean of |d| over the step's directions: for m = 1 that is the plain estimate again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import Entries, check_entries, for_all
from aopnp.training.directions.strategy import (
    ForwardPass,
    Strategy,
    Tangents,
    accumulate,
    gradients,
)


@dataclass(frozen=True)
class DerivativeSign(Strategy):
    """`sign(d) v`; with `scaled`, mean |d| `sign(d) v`."""

    scaled: bool = False
    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)

    def begin(self, forward_pass: ForwardPass, state: Any) -> list[Array]:
        """Return where the sizes |d| are gathered: how many chunks there are is not known here."""
        return []

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        return for_all(self.entries, forward_pass, directions)

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: list[Array]) -> None:
        state.append(abs(d))
        accumulate(forward_pass, forward_pass.xp.sign(d) / forward_pass.num_dir, v)

    def end(self, forward_pass: ForwardPass, state: list[Array]) -> None:
        if self.scaled:
            size: Any = sum(each for chunk in state for each in chunk) / forward_pass.num_dir
            for parameter, g in zip(forward_pass.parameters, gradients(forward_pass), strict=True):
                parameter.grad = g * size.reshape(-1, *(1,) * (g.ndim - 1)).astype(g.dtype)
