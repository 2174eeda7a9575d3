"""Any estimator beside the exact gradient: how far is the estimate off?

    error = |estimate - exact| / |exact|        cosine = <estimate, exact> / (|estimate| |exact|)        (Frobenius)

for the estimate of one step, and for the running sums since the start: with a memory an estimate also answers for
past steps, so its running sum may be close where the single steps are not. Costs the exact product it saves.
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
    """The watched estimator's own state, and sums that stay on the device until an epoch ends."""

    inner: Any
    exact_sum: Array | float = 0.0
    """Sum of the exact gradients since the start [R, N, P]."""
    estimate_sum: Array | float = 0.0
    """Sum of the estimates since the start [R, N, P]."""
    totals: dict[str, Array] = field(default_factory=dict)
    """Name -> sum over the steps since the last report [R]."""
    steps: int = 0


@dataclass(frozen=True)
class Watched(Estimator):
    """Answer as `estimator` does, and record gradient_error, gradient_cosine, running_error and running_cosine."""

    estimator: Estimator

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        return self.estimator.remembers

    @property
    def factored(self) -> bool:  # type: ignore[override]
        return self.estimator.factored

    @property
    def refers_to_places(self) -> bool:
        return True  # the running sums have an entry for each weight

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
        measured = {
            **_compare("gradient", estimate, exact),
            **_compare("running", state.estimate_sum, state.exact_sum),
        }
        state.totals = {name: state.totals.get(name, 0) + value for name, value in measured.items()}
        state.steps += 1
        return answer

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        return self.estimator.select(a, b, noise, step)

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        return self.estimator.overhead(
            terms, kept, A
        )  # watching is a measurement: it is not on the bill

    def observations(self, state: WatchedState) -> dict[str, Array]:
        means = {name: total / state.steps for name, total in state.totals.items()}
        state.totals, state.steps = {}, 0
        return self.estimator.observations(state.inner) | means


def _compare(name: str, estimate: Array, exact: Array) -> dict[str, Array]:
    """Return error and cosine [R]; two zero gradients agree, a zero against anything else has cosine 0."""
    xp = array_module(estimate, exact)

    def inner(u: Array, v: Array) -> Array:
        return (u * v).reshape(len(u), -1).sum(-1)

    off, size = inner(estimate - exact, estimate - exact), inner(exact, exact)
    length = xp.sqrt(inner(estimate, estimate) * size)
    error = xp.sqrt(off / xp.where(size > 0, size, 1))
    cosine = inner(estimate, exact) / xp.where(length > 0, length, 1)
    return {
        f"{name}_error": xp.where((size > 0) | (off == 0), error, xp.inf),
        f"{name}_cosine": xp.where((length > 0) | (off > 0), cosine, 1),
    }
