"""S8, directions that lean towards the last estimate: u, of length 1, over all parameters.

    v = sqrt(1 - a) r + sqrt(a) r0 u        r ~ N(0, I), r0 ~ N(0, 1)        S = E v v^T = (1 - a) I + a u u^T

    estimate = d v            mean S g, biased towards u: momentum that looks before it leaps
    corrected: d S^-1 v       unbiased, S^-1 v = (v - a <u, v> u) / (1 - a)

    E |estimate - g|^2 / |g|^2 = |S g - g|^2 / |g|^2 + 1/m (s tr S + |S g|^2 / |g|^2)        s = <g, S g> / |g|^2
    corrected:                   1/m (s tr S^-1 + 1)

Both follow from the fourth moments of normal variates. Before there is an estimate, v = r.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import draw, for_all, in_memory_order
from aopnp.training.directions.strategy import (
    ForwardPass,
    Strategy,
    Tangents,
    gradients,
    inner,
    squared,
)


@dataclass
class AlignedState:
    """What alignment remembers."""

    u: list[Array]
    """The last estimate, divided by its length over all parameters: one for every parameter [R, ...]."""


@dataclass(frozen=True)
class Aligned(Strategy):
    """`share` is a, from 0 (normal directions) to below 1 (the line along u)."""

    share: float = 0.1
    corrected: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(
                f"expected a share of the last estimate from 0 to below 1, got {self.share}"
            )

    def begin(self, forward_pass: ForwardPass, state: AlignedState | None) -> AlignedState | None:
        if state is None:
            return None
        # In the memory order of a running training: it may come from a file.
        return AlignedState(
            [in_memory_order(u, p) for u, p in zip(state.u, forward_pass.parameters, strict=True)]
        )

    def sample(
        self, forward_pass: ForwardPass, directions: Sequence[int], state: AlignedState | None
    ) -> Tangents:
        r = for_all("gaussian", forward_pass, directions)
        if state is None:
            return r
        after_all = len(forward_pass.parameters)
        r0 = self.share**0.5 * draw(
            "gaussian", forward_pass, after_all, directions, 1, state.u[0].dtype
        )
        rest = (1 - self.share) ** 0.5
        return [
            rest * own + _replica_numbers(r0[..., 0], u) * u
            for own, u in zip(r, state.u, strict=True)
        ]

    def add(
        self, forward_pass: ForwardPass, d: Array, v: Tangents, state: AlignedState | None
    ) -> None:
        if state is not None and self.corrected:
            across, a = inner(v, state.u), self.share
            v = [
                (own - _replica_numbers(a * across, own[0]) * u) / (1 - a)
                for own, u in zip(v, state.u, strict=True)
            ]
        super().add(forward_pass, d, v, state)

    def end(self, forward_pass: ForwardPass, state: AlignedState | None) -> AlignedState:
        gradient = gradients(forward_pass)
        length = squared(gradient) ** 0.5
        length = length + (length == 0)  # of no estimate nothing is remembered
        return AlignedState([g / _replica_numbers(length, g) for g in gradient])

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: AlignedState | None
    ) -> Array:
        a = self.share if state is not None else 0.0
        n, m, c = forward_pass.n, forward_pass.num_dir, forward_pass.xp.full(len(gradient[0]), 0.0)
        if state is not None:
            c = inner(gradient, state.u) ** 2 / squared(gradient)
        s = 1 - a + a * c
        if self.corrected:
            return (s * ((n - 1) / (1 - a) + 1) + 1) / m
        return a * a * (1 - c) + (s * ((1 - a) * n + a) + (1 - a) ** 2 + (2 - a) * a * c) / m


def _replica_numbers(numbers: Array, like: Array) -> Array:
    """Return numbers [..., R] so that they multiply `like` [R, ...] replica by replica, in its dtype."""
    return numbers.reshape(*numbers.shape, *(1,) * (like.ndim - 1)).astype(like.dtype)
