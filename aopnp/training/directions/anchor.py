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
from aopnp.training.directions.entries import (
    SPREAD,
    Entries,
    check_entries,
    for_all,
    in_memory_order,
)
from aopnp.training.directions.strategy import (
    ForwardPass,
    Strategy,
    Tangents,
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
    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)
        if self.every is not None and self.every < 1:
            raise ValueError(
                f"expected every >= 1 steps between backward passes, or None, got {self.every}"
            )
        if not 0 <= self.decay < 1:
            raise ValueError(f"expected a decay from 0 to below 1, got {self.decay}")

    def begin(self, forward_pass: ForwardPass, state: AnchorState | None) -> AnchorState:
        if self.every is not None and (state is None or forward_pass.step.index % self.every == 0):
            forward_pass.network.backward(
                forward_pass.loss.backward(),
                replace(forward_pass.step, loss=forward_pass.loss),
                needs_input=False,
            )
            state = AnchorState(gradients(forward_pass))
        if state is None:
            return AnchorState(
                [
                    forward_pass.xp.zeros(parameter.shape, parameter.dtype)
                    for parameter in forward_pass.parameters
                ]
            )
        # In the memory order of a running training: it may come from a file.
        return AnchorState(
            [in_memory_order(a, p) for a, p in zip(state.a, forward_pass.parameters, strict=True)]
        )

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        return for_all(self.entries, forward_pass, directions)

    def derivative(self, forward_pass: ForwardPass, v: Tangents, state: AnchorState) -> Array:
        return along(forward_pass, v) - inner(v, state.a)

    def end(self, forward_pass: ForwardPass, state: AnchorState) -> AnchorState:
        for parameter, a in zip(forward_pass.parameters, state.a, strict=True):
            add_to(parameter, a)
        if self.every is not None:
            return state
        pairs = zip(state.a, gradients(forward_pass), strict=True)
        return AnchorState([self.decay * a + (1 - self.decay) * g for a, g in pairs])

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: AnchorState
    ) -> Array:
        off = squared([g - a for g, a in zip(gradient, state.a, strict=True)])
        return (
            (forward_pass.n + SPREAD[self.entries]) / forward_pass.num_dir * off / squared(gradient)
        )
