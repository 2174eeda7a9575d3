"""What the laws are pointed at: one implementation of approximate outer products, seen step by step.

To verify your own implementation, write a class with a `step` method and a function that makes a fresh one for a
`Setting`; then run the laws of `aopnp.verify.laws` on that function. `library` does so for this library.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.estimators import AOP, Estimator
from aopnp.estimators.memories import MEMORIES, QueueState, ResidualState, RowState
from aopnp.estimators.outer_products import dense
from aopnp.estimators.policies import POLICIES, Policy, Selection, every_row
from aopnp.estimators.step import Step


class Setting(NamedTuple):
    """Which estimator: names as in POLICIES and MEMORIES; capacity is for the queue only."""

    policy: str
    k: int
    memory: str
    decay: float = 1.0
    capacity: int = 0


class Batch(NamedTuple):
    """What one step is given."""

    x: Array
    """Inputs [R, M, N]."""
    g: Array
    """Output gradients [R, M, P]."""
    noise: Array
    """Standard Gumbel noise float64 [R, slots], one for each candidate row; the M fresh rows come last."""
    lr: float = 1.0


class Outcome(NamedTuple):
    """What one step did."""

    gradient: Array
    """The estimate [R, N, P] of X^T G (the step size not multiplied in)."""
    rows: Array
    """Selected candidates int [R, K], in any order; a queue's slots come before the fresh rows."""
    owed: Array
    """What the memory still holds, multiplied out [R, N, P]: A_mem^T B_mem, the residual, the queued products; or 0."""
    memory: tuple[Array, Array] | None = None
    """Row memory only: A_mem [R, M, N] and B_mem [R, M, P] after the step, before the next decay."""


class Subject(Protocol):
    """One implementation with its state."""

    def step(self, batch: Batch) -> Outcome:
        """Do one step."""
        ...


Maker: TypeAlias = Callable[[Setting], Subject]
"""Makes a subject with empty memory."""


@dataclass
class LibrarySubject:
    """An estimator of this library as a subject; `selections` are those of the last step, one for each AOP inside."""

    estimator: Estimator
    selections: list[Selection] = field(default_factory=list)
    state: Any = None

    def step(self, batch: Batch) -> Outcome:
        """Do one step of the estimator."""
        if self.state is None:
            self.state = self.estimator.start(batch.x, batch.g)
        self.selections.clear()
        step = Step(lr=np.full(len(batch.g), batch.lr))
        gradient = dense(self.estimator(batch.x, batch.g, self.state, batch.noise, step)).copy()
        chosen = self.selections or [
            every_row(batch.g.shape[1], len(batch.g))
        ]  # K = M: nobody was asked
        rows = chosen[0].rows if len(chosen) == 1 else np.empty(0)
        memory = self.state.rows() if isinstance(self.state, RowState) else None
        return Outcome(gradient, rows, owed(self.state, gradient), memory)


def owed(state: Any, like: Array) -> Array:
    """Return what a memory's state still holds, multiplied out [R, N, P]."""
    if isinstance(state, RowState):
        a, b = state.rows()
        return a.swapaxes(-1, -2) @ b
    if isinstance(state, QueueState):
        return state.x.swapaxes(-1, -2) @ state.g
    return state.residual.copy() if isinstance(state, ResidualState) else np.zeros_like(like)


def library(setting: Setting) -> LibrarySubject:
    """Make this library's implementation of `setting`."""
    selections: list[Selection] = []
    return LibrarySubject(
        library_estimator(setting, recorded(POLICIES[setting.policy], selections)), selections
    )


def library_estimator(setting: Setting, policy: Policy | None = None) -> AOP:
    """Return this library's estimator for `setting`, perhaps with another policy object."""
    knobs: dict[str, Any] = {} if setting.memory == "none" else {"decay": setting.decay}
    if setting.memory == "queue":
        knobs["capacity"] = setting.capacity
    return AOP(policy or POLICIES[setting.policy], setting.k, MEMORIES[setting.memory](**knobs))


def recorded(policy: Policy, selections: list[Selection]) -> Policy:
    """Return a policy that picks as `policy` does and appends each selection to `selections`."""

    def pick(log_norms: Array, noise: Array, k: Array) -> Selection:
        selections.append(policy(log_norms, noise, k))
        return selections[-1]

    return pick
