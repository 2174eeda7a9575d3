"""S2, random signs: v = +1 or -1 in every entry, one bit of noise each.

Unbiased, E |estimate - g|^2 = (n - 1) / m |g|^2, the least that independent directions can have: |v|^2 is always n.
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
        return forward_pass.xp.full(len(gradient[0]), (forward_pass.n - 1) / forward_pass.num_dir)
