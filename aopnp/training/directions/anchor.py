"""An anchor: a known gradient a near g; directions estimate only the difference (control variate).

    estimate = a + (1/m) sum over j of <g - a, v_j> v_j        <g - a, v> = d - <a, v>
    E |estimate - g|^2 = (n + 1) / m |g - a|^2                 random signs: (n - 1) / m |g - a|^2

The estimate is unbiased for every a that does not depend on v. With a number `every`, a is the
gradient that a backward pass gives in every `every`-th step; between these steps it becomes stale.
With `every` = None there is no backward pass, and a is a running mean of the estimates so far.
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
    zeros,
)


@dataclass
class AnchorState:
    """The anchor a."""

    a: list[Array]
    """An array for every parameter [R, ...]."""


@dataclass(frozen=True)
class Anchor(Strategy):
    """`every` is the number of steps from one backward pass to the next; None: a is a running mean.

    The running mean keeps the share `decay` of its last value. `entries` is the distribution of
    the entries of v.
    """

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

    def empty_state(self, forward_pass: ForwardPass) -> AnchorState:
        return AnchorState(zeros(forward_pass))

    def begin(self, forward_pass: ForwardPass, state: AnchorState | None) -> AnchorState:
        if self.every is not None and (state is None or forward_pass.step.index % self.every == 0):
            state = self._from_backward_pass(forward_pass)
        if state is None:
            return self.empty_state(forward_pass)
        # A state from a file may lie in memory in another way than one of a running training.
        pairs = zip(state.a, forward_pass.parameters, strict=True)
        return AnchorState([in_memory_order(a, parameter) for a, parameter in pairs])

    @staticmethod
    def _from_backward_pass(forward_pass: ForwardPass) -> AnchorState:
        step = replace(forward_pass.step, loss=forward_pass.loss)
        forward_pass.network.backward(forward_pass.loss.backward(), step, needs_input=False)
        return AnchorState(gradients(forward_pass))

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
        difference = [g - a for g, a in zip(gradient, state.a, strict=True)]
        factor = (forward_pass.n + SPREAD[self.entries]) / forward_pass.num_dir
        return factor * squared(difference) / squared(gradient)
