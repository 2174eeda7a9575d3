"""Orthonormal frames: V [n, m] with V^T V = I, uniformly at random (QR of normal directions).

    frame         estimate = (n/m) V V^T g    E |estimate - g|^2 = (n/m - 1) |g|^2    unbiased
    projection    estimate = V V^T g          E |estimate - g|^2 = (1 - m/n) |g|^2    mean (m/n) g

The frame has no error at m = n. The projection is the best estimate in mean square: it is
V (V^T V)^-1 V^T g of Fluegel et al. 2024 (arXiv 2410.17764). For both, E cos^2(estimate, g) = m/n.
The columns are scaled to the length sqrt(n), so that d is as large as with other strategies.
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
    """`v_j = sqrt(n) q_j` with q_1 ... q_m orthonormal over all parameters; m is at most n."""

    drawn_together: ClassVar[bool] = True

    def check_room(self, n: int, num_dir: int) -> None:
        if num_dir > n:
            raise ValueError(
                f"expected at most n = {n} orthonormal directions, got num_dir = {num_dir}; "
                "lower it"
            )

    def begin(self, forward_pass: ForwardPass, state: Any) -> Any:
        self.check_room(forward_pass.n, forward_pass.num_dir)
        return state

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        r = for_all("gaussian", forward_pass, directions)
        q = orthonormal(join_parameters(columns(forward_pass, r)))
        v = q * forward_pass.n**0.5
        return tangents(forward_pass, split_by_parameter(forward_pass, v))

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        n, m = forward_pass.n, forward_pass.num_dir
        return forward_pass.xp.full(len(gradient[0]), n / m - 1)


@dataclass(frozen=True)
class Projection(Frame):
    """The projection of g on the frame: shorter than g, and as near as these directions allow."""

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: Any) -> None:
        shrunk = d * (forward_pass.num_dir / forward_pass.n)
        super().add(forward_pass, shrunk, v, state)

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        n, m = forward_pass.n, forward_pass.num_dir
        return forward_pass.xp.full(len(gradient[0]), 1 - m / n)
