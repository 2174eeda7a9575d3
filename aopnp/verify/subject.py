"""The subject of the laws: one implementation of approximate outer products, seen step by step.

To verify your implementation, write a class with a `step` method and a function that makes a fresh
object of it for a `Setting`. Then run the laws of `aopnp.verify.laws` on that function. For this
library the function is `library`.
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
    """The choice of an estimator: names as in POLICIES and MEMORIES.

    `capacity` is for the queue only.
    """

    policy: str
    k: int
    memory: str
    decay: float = 1.0
    capacity: int = 0


class Batch(NamedTuple):
    """The arguments of one step."""

    x: Array
    """Inputs [R, M, N]."""
    g: Array
    """Output gradients [R, M, P]."""
    noise: Array
    """Standard Gumbel noise float64 [R, slots], one variate for each candidate row.

    The M fresh rows come last.
    """
    lr: float = 1.0


class Outcome(NamedTuple):
    """The results of one step."""

    gradient: Array
    """The estimate [R, N, P] of X^T G (the step size not multiplied in)."""
    rows: Array
    """Selected candidates int [R, K], in any order; a queue's slots come before the fresh rows."""
    owed: Array
    """The contents of the memory after the step, multiplied out [R, N, P].

    That is A_mem^T B_mem, the residual, the sum of the queued products, or 0 without memory.
    """
    memory: tuple[Array, Array] | None = None
    """A_mem [R, M, N] and B_mem [R, M, P] after the step, before the next decay.

    Row memory only.
    """


class Subject(Protocol):
    """One implementation with its state."""

    def step(self, batch: Batch) -> Outcome:
        """Do one step."""
        ...


Maker: TypeAlias = Callable[[Setting], Subject]
"""A function that makes a subject with an empty memory."""


@dataclass
class LibrarySubject:
    """An estimator of this library as a subject."""

    estimator: Estimator
    selections: list[Selection] = field(default_factory=list)
    """The selections of the last step, one for each AOP inside the estimator."""
    state: Any = None

    def step(self, batch: Batch) -> Outcome:
        """Do one step of the estimator."""
        x, g, noise, lr = batch
        R, M, _ = g.shape
        if self.state is None:
            self.state = self.estimator.start(x, g)
        self.selections.clear()
        step = Step(lr=np.full(R, lr))
        gradient = dense(self.estimator(x, g, self.state, noise, step)).copy()
        # Where K = M, no policy was asked.
        chosen = self.selections or [every_row(M, R)]
        rows = np.empty(0)
        if len(chosen) == 1:
            rows = chosen[0].rows
        memory = None
        if isinstance(self.state, RowState):
            memory = self.state.rows()
        return Outcome(gradient, rows, owed(self.state, gradient), memory)


def owed(state: Any, like: Array) -> Array:
    """Return the contents of a memory's state, multiplied out [R, N, P].

    `like` [R, N, P] gives the shape where there is no memory.
    """
    if isinstance(state, RowState):
        a, b = state.rows()
        return a.swapaxes(-1, -2) @ b
    if isinstance(state, QueueState):
        return state.x.swapaxes(-1, -2) @ state.g
    if isinstance(state, ResidualState):
        return state.residual.copy()
    return np.zeros_like(like)


def library(setting: Setting) -> LibrarySubject:
    """Return this library's implementation of `setting`."""
    selections: list[Selection] = []
    policy = recorded(POLICIES[setting.policy], selections)
    return LibrarySubject(library_estimator(setting, policy), selections)


def library_estimator(setting: Setting, policy: Policy | None = None) -> AOP:
    """Return this library's estimator for `setting`; `policy` replaces the policy of that name."""
    options: dict[str, Any] = {}
    if setting.memory != "none":
        options["decay"] = setting.decay
    if setting.memory == "queue":
        options["capacity"] = setting.capacity
    memory = MEMORIES[setting.memory](**options)
    return AOP(policy or POLICIES[setting.policy], setting.k, memory)


def recorded(policy: Policy, selections: list[Selection]) -> Policy:
    """Return a policy that picks as `policy` does and appends each selection to `selections`."""

    def pick(log_norms: Array, noise: Array, k: Array) -> Selection:
        selection = policy(log_norms, noise, k)
        selections.append(selection)
        return selection

    return pick
