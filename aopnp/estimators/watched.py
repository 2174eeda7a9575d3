"""An estimator with the exact gradient next to it, which measures how far the estimate is off.

    error  = |estimate - exact| / |exact|
    cosine = <estimate, exact> / (|estimate| |exact|)        (Frobenius)

Both are measured for the estimate of one step, and for the running sums since the start. With a
memory an estimate also answers for past steps, so that its running sum may be close where the
single steps are not. Watching costs the exact product that the estimator saves.
"""

from dataclasses import dataclass, field
from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.outer_products import Expand, Gradient, dense
from aopnp.estimators.policies import Selection
from aopnp.estimators.step import Step


@dataclass
class WatchedState:
    """The state of the watched estimator, and sums that stay on the device until an epoch ends."""

    inner: Any
    exact_sum: Array | float = 0.0
    """Sum of the exact gradients since the start [R, N, P]."""
    estimate_sum: Array | float = 0.0
    """Sum of the estimates since the start [R, N, P]."""
    totals: dict[str, Array] = field(default_factory=dict)
    """Name of a measurement -> its sum over the steps since the last report [R]."""
    steps: int = 0
    """Steps since the last report."""


@dataclass(frozen=True)
class Watched(Estimator):
    """Answer as `estimator` does, and record the error of its answers.

    The observations are gradient_error, gradient_cosine, running_error and running_cosine.
    """

    estimator: Estimator

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        return self.estimator.remembers

    @property
    def factored(self) -> bool:  # type: ignore[override]
        return self.estimator.factored

    @property
    def refers_to_places(self) -> bool:
        # The running sums have an entry for each weight.
        return True

    def slots(self, batch_size: int) -> int:
        return self.estimator.slots(batch_size)

    def start(self, x: Array, g: Array) -> WatchedState:
        return WatchedState(self.estimator.start(x, g))

    def __call__(
        self,
        x: Array,
        g: Array,
        state: WatchedState,
        noise: Array | None,
        step: Step,
        expand: Expand | None = None,
    ) -> Gradient:
        exact = dense(Exact()(x, g, (), None, step, expand))
        answer = self.estimator(x, g, state.inner, noise, step, expand)
        estimate = dense(answer)
        state.exact_sum = state.exact_sum + exact
        state.estimate_sum = state.estimate_sum + estimate
        of_step = _compare("gradient", estimate, exact)
        of_sums = _compare("running", state.estimate_sum, state.exact_sum)
        for name, value in (of_step | of_sums).items():
            state.totals[name] = state.totals.get(name, 0) + value
        state.steps += 1
        return answer

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        return self.estimator.select(a, b, noise, step)

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        # Watching is a measurement: it is not on the bill.
        return self.estimator.overhead(terms, kept, A)

    def observations(self, state: WatchedState) -> dict[str, Array]:
        means = {}
        for name, total in state.totals.items():
            means[name] = total / state.steps
        state.totals = {}
        state.steps = 0
        return self.estimator.observations(state.inner) | means


def _compare(name: str, estimate: Array, exact: Array) -> dict[str, Array]:
    """Return error and cosine [R] of two arrays [R, ...].

    Two zero gradients agree; the cosine of a zero gradient and any other one is 0.
    """
    xp = array_module(estimate, exact)

    def inner(u: Array, v: Array) -> Array:
        return (u * v).reshape(len(u), -1).sum(-1)

    difference = estimate - exact
    off = inner(difference, difference)
    size = inner(exact, exact)
    length = xp.sqrt(inner(estimate, estimate) * size)
    error = xp.sqrt(off / xp.where(size > 0, size, 1))
    cosine = inner(estimate, exact) / xp.where(length > 0, length, 1)
    defined = (size > 0) | (off == 0)
    differ = (length > 0) | (off > 0)
    return {
        f"{name}_error": xp.where(defined, error, xp.inf),
        f"{name}_cosine": xp.where(differ, cosine, 1),
    }
