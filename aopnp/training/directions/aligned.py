"""Aligned directions: they lean towards u, the last estimate divided by its length.

    v = sqrt(1 - a) r + sqrt(a) r0 u        r ~ N(0, I), r0 ~ N(0, 1)
    S = E v v^T = (1 - a) I + a u u^T

    estimate = d v                 its mean is S g, biased towards u, as a momentum is
    corrected estimate = d S^-1 v  unbiased, S^-1 v = (v - a <u, v> u) / (1 - a)

The length is taken over all parameters. Unlike a momentum, the estimate measures the derivative
along u at the present point before it moves on.

    E |estimate - g|^2 / |g|^2 = |S g - g|^2 / |g|^2 + 1/m (s tr S + |S g|^2 / |g|^2)
    corrected:                   1/m (s tr S^-1 + 1)                 s = <g, S g> / |g|^2

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
    zeros,
)


@dataclass
class AlignedState:
    """The last estimate, as a unit vector."""

    u: list[Array]
    """An array for every parameter [R, ...]; together they have the length 1."""


@dataclass(frozen=True)
class Aligned(Strategy):
    """`share` is a, from 0 (normal directions) to below 1 (where v would lie on the line along u).

    `corrected` chooses the unbiased estimate.
    """

    share: float = 0.1
    corrected: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(
                f"expected a share of the last estimate from 0 to below 1, got {self.share}"
            )

    def empty_state(self, forward_pass: ForwardPass) -> AlignedState:
        return AlignedState(zeros(forward_pass))

    def begin(self, forward_pass: ForwardPass, state: AlignedState | None) -> AlignedState | None:
        if state is None:
            return None
        # A state from a file may lie in memory in another way than one of a running training.
        pairs = zip(state.u, forward_pass.parameters, strict=True)
        return AlignedState([in_memory_order(u, parameter) for u, parameter in pairs])

    def sample(
        self, forward_pass: ForwardPass, directions: Sequence[int], state: AlignedState | None
    ) -> Tangents:
        r = for_all("gaussian", forward_pass, directions)
        if state is None:
            return r
        # r0 has the number after those of all parameters.
        number, dtype = len(forward_pass.parameters), state.u[0].dtype
        r0 = draw("gaussian", forward_pass, number, directions, 1, dtype)
        along_u = (self.share**0.5 * r0)[..., 0]
        rest = (1 - self.share) ** 0.5
        return [
            rest * part + _replica_numbers(along_u, u) * u
            for part, u in zip(r, state.u, strict=True)
        ]

    def add(
        self, forward_pass: ForwardPass, d: Array, v: Tangents, state: AlignedState | None
    ) -> None:
        if state is not None and self.corrected:
            a = self.share
            lean = a * inner(v, state.u)
            v = [
                (part - _replica_numbers(lean, part[0]) * u) / (1 - a)
                for part, u in zip(v, state.u, strict=True)
            ]
        super().add(forward_pass, d, v, state)

    def end(self, forward_pass: ForwardPass, state: AlignedState | None) -> AlignedState:
        gradient = gradients(forward_pass)
        length = squared(gradient) ** 0.5
        # An estimate of zero has no direction: u is then zero.
        length = length + (length == 0)
        return AlignedState([g / _replica_numbers(length, g) for g in gradient])

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: AlignedState | None
    ) -> Array:
        n, m = forward_pass.n, forward_pass.num_dir
        if state is None:
            a = 0.0
            c = forward_pass.xp.full(len(gradient[0]), 0.0)
        else:
            a = self.share
            c = inner(gradient, state.u) ** 2 / squared(gradient)
        # c = cos^2(g, u)
        s = 1 - a + a * c
        if self.corrected:
            return (s * ((n - 1) / (1 - a) + 1) + 1) / m
        bias = a * a * (1 - c)
        trace = (1 - a) * n + a
        # |S g|^2 / |g|^2 = (1 - a)^2 + (2 - a) a c
        variance = s * trace + (1 - a) ** 2 + (2 - a) * a * c
        return bias + variance / m


def _replica_numbers(numbers: Array, like: Array) -> Array:
    """Return numbers [..., R] in the shape and dtype that multiply `like` [R, ...]."""
    axes = (1,) * (like.ndim - 1)
    return numbers.reshape(*numbers.shape, *axes).astype(like.dtype)
