"""Normal directions: v ~ N(0, I) over all parameters (Baydin et al. 2022, arXiv 2202.08587).

    E |estimate - g|^2 = (n + 1) / m |g|^2        unbiased

As with all strategies, a direction is drawn again from its key when it is needed again (seed
replay), so that memory does not grow with m.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import for_all
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents


@dataclass(frozen=True)
class Gaussian(Strategy):
    """`v ~ N(0, I)`."""

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        return for_all("gaussian", forward_pass, directions)

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        n, m = forward_pass.n, forward_pass.num_dir
        return forward_pass.xp.full(len(gradient[0]), (n + 1) / m)
