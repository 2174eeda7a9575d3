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
from aopnp.training.directions.flat import columns, joined, orthonormal, parted, tangents
from aopnp.training.directions.strategy import Strategy, Tangents, Trace


@dataclass(frozen=True)
class Frame(Strategy):
    """`v_j = sqrt(n) q_j`, q_1 ... q_m orthonormal over all parameters; at most n of them."""

    together: ClassVar[bool] = True

    def check_room(self, n: int, num_dir: int) -> None:
        if num_dir > n:
            raise ValueError(
                f"expected at most n = {n} orthonormal directions, got num_dir = {num_dir}; lower it"
            )

    def begin(self, trace: Trace, state: Any) -> Any:
        self.check_room(trace.n, trace.num_dir)
        return state

    def sample(self, trace: Trace, directions: Sequence[int], state: Any) -> Tangents:
        q = orthonormal(joined(columns(trace, for_all("gaussian", trace, directions))))
        return tangents(trace, parted(trace, q * trace.n**0.5))

    def variance_factor(self, trace: Trace, gradient: Sequence[Array], state: Any) -> Array:
        return trace.xp.full(len(gradient[0]), trace.n / trace.num_dir - 1)


@dataclass(frozen=True)
class Projection(Frame):
    """The projection of g on the frame: shorter than g, and as near as these directions allow."""

    def add(self, trace: Trace, d: Array, v: Tangents, state: Any) -> None:
        super().add(trace, d * (trace.num_dir / trace.n), v, state)

    def variance_factor(self, trace: Trace, gradient: Sequence[Array], state: Any) -> Array:
        return trace.xp.full(len(gradient[0]), 1 - trace.num_dir / trace.n)
