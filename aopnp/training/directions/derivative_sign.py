"""The sign of the derivative: of each d_j the estimate uses one bit.

    estimate            = (1/m) sum over j of sign(d_j) v_j
    scaled estimate     = (1/m) sum over j of |d_j|  times the estimate

The estimate is biased, as in SPSA with signs. For m = 1 the scaled one is d v again, the plain
estimate.
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
    """`sign(d) v`; if `scaled`, multiplied by the mean of |d| over the directions of the step.

    `entries` is the distribution of the entries of v.
    """

    scaled: bool = False
    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)

    def begin(self, forward_pass: ForwardPass, state: Any) -> list[Array]:
        """Return an empty list: `add` appends the sizes |d| [J, R] of each chunk."""
        return []

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        return for_all(self.entries, forward_pass, directions)

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: list[Array]) -> None:
        state.append(abs(d))
        signs = forward_pass.xp.sign(d)
        accumulate(forward_pass, signs / forward_pass.num_dir, v)

    def end(self, forward_pass: ForwardPass, state: list[Array]) -> None:
        if not self.scaled:
            return
        total: Any = 0
        for sizes in state:
            for size in sizes:
                total = total + size
        mean = total / forward_pass.num_dir
        for parameter, g in zip(forward_pass.parameters, gradients(forward_pass), strict=True):
            axes = (1,) * (g.ndim - 1)
            parameter.grad = g * mean.reshape(-1, *axes).astype(g.dtype)
