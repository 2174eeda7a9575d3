"""S7, an anchor: only what differs from a known gradient a is asked of the directions (a control variate).

    estimate = a + (1/m) sum of <g - a, v> v        <g - a, v> = d - <a, v>

Unbiased for any a that does not depend on v, E |estimate - g|^2 = (n + 1) / m |g - a|^2, n - 1 with random signs. With
`every` = n, a is what the backward pass gives for this batch in every n-th step and goes stale in between; with
`every` = None no backward pass is made: a is a running mean of the estimates so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import SPREAD, Noise, check, for_all, laid
from aopnp.training.directions.strategy import (
    Strategy,
    Tangents,
    Trace,
    add_to,
    along,
    gradients,
    inner,
    squared,
)


@dataclass
class AnchorState:
    """What an anchor remembers."""

    a: list[Array]
    """One for every parameter [R, ...]."""


@dataclass(frozen=True)
class Anchor(Strategy):
    """`every`: steps between two backward passes, None for none; `decay` of the running mean."""

    every: int | None = 10
    decay: float = 0.9
    noise: Noise = "rademacher"

    def __post_init__(self) -> None:
        check(self.noise)
        if self.every is not None and self.every < 1:
            raise ValueError(
                f"expected every >= 1 steps between backward passes, or None, got {self.every}"
            )
        if not 0 <= self.decay < 1:
            raise ValueError(f"expected a decay from 0 to below 1, got {self.decay}")

    def begin(self, trace: Trace, state: AnchorState | None) -> AnchorState:
        if self.every is not None and (state is None or trace.step.index % self.every == 0):
            trace.network.backward(
                trace.loss.backward(), replace(trace.step, loss=trace.loss), needs_input=False
            )
            state = AnchorState(gradients(trace))
        if state is None:
            return AnchorState(
                [trace.xp.zeros(parameter.shape, parameter.dtype) for parameter in trace.parameters]
            )
        # In the memory order of a running training: it may come from a file.
        return AnchorState([laid(a, p) for a, p in zip(state.a, trace.parameters, strict=True)])

    def sample(self, trace: Trace, directions: Sequence[int], state: Any) -> Tangents:
        return for_all(self.noise, trace, directions)

    def derivative(self, trace: Trace, v: Tangents, state: AnchorState) -> Array:
        return along(trace, v) - inner(v, state.a)

    def end(self, trace: Trace, state: AnchorState) -> AnchorState:
        for parameter, a in zip(trace.parameters, state.a, strict=True):
            add_to(parameter, a)
        if self.every is not None:
            return state
        pairs = zip(state.a, gradients(trace), strict=True)
        return AnchorState([self.decay * a + (1 - self.decay) * g for a, g in pairs])

    def variance_factor(self, trace: Trace, gradient: Sequence[Array], state: AnchorState) -> Array:
        off = squared([g - a for g, a in zip(gradient, state.a, strict=True)])
        return (trace.n + SPREAD[self.noise]) / trace.num_dir * off / squared(gradient)
