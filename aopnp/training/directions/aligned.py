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
from aopnp.training.directions.entries import draw, for_all, laid
from aopnp.training.directions.strategy import Strategy, Tangents, Trace, gradients, inner, squared


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

    def begin(self, trace: Trace, state: AlignedState | None) -> AlignedState | None:
        if state is None:
            return None
        # In the memory order of a running training: it may come from a file.
        return AlignedState([laid(u, p) for u, p in zip(state.u, trace.parameters, strict=True)])

    def sample(
        self, trace: Trace, directions: Sequence[int], state: AlignedState | None
    ) -> Tangents:
        r = for_all("gaussian", trace, directions)
        if state is None:
            return r
        after_all = len(trace.parameters)
        r0 = self.share**0.5 * draw("gaussian", trace, after_all, directions, 1, state.u[0].dtype)
        rest = (1 - self.share) ** 0.5
        return [rest * own + _for(r0[..., 0], u) * u for own, u in zip(r, state.u, strict=True)]

    def add(self, trace: Trace, d: Array, v: Tangents, state: AlignedState | None) -> None:
        if state is not None and self.corrected:
            across, a = inner(v, state.u), self.share
            v = [
                (own - _for(a * across, own[0]) * u) / (1 - a)
                for own, u in zip(v, state.u, strict=True)
            ]
        super().add(trace, d, v, state)

    def end(self, trace: Trace, state: AlignedState | None) -> AlignedState:
        gradient = gradients(trace)
        length = squared(gradient) ** 0.5
        length = length + (length == 0)  # of no estimate nothing is remembered
        return AlignedState([g / _for(length, g) for g in gradient])

    def variance_factor(
        self, trace: Trace, gradient: Sequence[Array], state: AlignedState | None
    ) -> Array:
        a = self.share if state is not None else 0.0
        n, m, c = trace.n, trace.num_dir, trace.xp.full(len(gradient[0]), 0.0)
        if state is not None:
            c = inner(gradient, state.u) ** 2 / squared(gradient)
        s = 1 - a + a * c
        if self.corrected:
            return (s * ((n - 1) / (1 - a) + 1) + 1) / m
        return a * a * (1 - c) + (s * ((1 - a) * n + a) + (1 - a) ** 2 + (2 - a) * a * c) / m


def _for(numbers: Array, like: Array) -> Array:
    """Return numbers [..., R] so that they multiply `like` [R, ...] replica by replica, in its dtype."""
    return numbers.reshape(*numbers.shape, *(1,) * (like.ndim - 1)).astype(like.dtype)
