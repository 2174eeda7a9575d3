"""Orthonormal frames: V [n, m] with V^T V = I, uniformly at random (QR of normal directions).

frame         estimate = (n/m) V V^T g        unbiased, E |estimate - g|^2 = (n/m - 1) |g|^2, 0 at m = n
projection    estimate = V V^T g              mean (m/n) g, error (1 - m/n) |g|^2: the best in mean square
                                              (V (V^T V)^-1 V^T g of Fluegel et al. 2024, arXiv 2410.17764)

Either way E cos^2(estimate, g) = m/n. Columns are scaled to sqrt(n), so that d is as large as with other strategies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import for_all
from aopnp.training.directions.flat import (
    columns,
    join_parameters,
    orthonormal,
    split_by_parameter,
    tangents,
)
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents


@dataclass(frozen=True)
class Frame(Strategy):
    """`v_j = sqrt(n) q_j`, q_1 ... q_m orthonormal over all parameters; at most n of them."""

    drawn_together: ClassVar[bool] = True

    def check_room(self, n: int, num_dir: int) -> None:
        if num_dir > n:
            raise ValueError(
                f"expected at most n = {n} orthonormal directions, got num_dir = {num_dir}; lower it"
            )

    def begin(self, forward_pass: ForwardPass, state: Any) -> Any:
        self.check_room(forward_pass.n, forward_pass.num_dir)
        return state

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        q = orthonormal(
            join_parameters(columns(forward_pass, for_all("gaussian", forward_pass, directions)))
        )
        return tangents(forward_pass, split_by_parameter(forward_pass, q * forward_pass.n**0.5))

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        return forward_pass.xp.full(len(gradient[0]), forward_pass.n / forward_pass.num_dir - 1)


@dataclass(frozen=True)
class Projection(Frame):
    """The projection of g on the frame: shorter than g, and as near as these directions allow."""

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: Any) -> None:
        super().add(forward_pass, d * (forward_pass.num_dir / forward_pass.n), v, state)

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        return forward_pass.xp.full(len(gradient[0]), 1 - forward_pass.num_dir / forward_pass.n)
