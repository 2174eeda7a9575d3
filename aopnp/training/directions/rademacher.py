"""Random signs: every entry of v is +1 or -1, from one random bit.

    E |estimate - g|^2 = (n - 1) / m |g|^2        unbiased

Directions that are independent of each other cannot have a smaller error, because |v|^2 is always
n here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import for_all
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents


@dataclass(frozen=True)
class Rademacher(Strategy):
    """`v in {-1, 1}^n`."""

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        return for_all("rademacher", forward_pass, directions)

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        n, m = forward_pass.n, forward_pass.num_dir
        return forward_pass.xp.full(len(gradient[0]), (n - 1) / m)
