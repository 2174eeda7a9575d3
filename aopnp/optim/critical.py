"""Critical gradients: the largest past gradients take part in all later updates.

    g' = aggregate(g, B)
    B  <- B with (g, r), if |B| < C or r > min p
    p  <- decay p                                    the priorities, never the gradients

(McRae, Parthasarathi, Assran and Chandar, ICLR 2022.) B is the buffer of at most C past gradients
of a tensor, each with a priority p. The priority of a new gradient is its norm, r = |g|, or the
sum of the norms of all tensors (`synced`). The inner optimiser applies g'. B in g' is the buffer
before g comes in; g' = g while it is empty.

    sum                 g + kappa mean(B)
    mid                 (g + kappa mean(B)) / 2
    mean                (g + kappa sum(B)) / (|B| + 1)
    min, median, max    g + kappa b, where b in B has this rank by priority

Critical(SGD(lr)) is the SGD_C of the paper, and Critical(Adam(lr), aggregation="mean") is its
Adam_C.

Ties: a gradient whose priority equals the smallest one does not come in. Of gradients with equal
priorities, the one in the earlier slot ranks first and is replaced first. The median of an even
number is the upper one. At kappa = 0 all aggregations but mean and mid return g itself.

The published code differs from this file where it contradicts the paper or itself. There kappa = 0
turns momentum off, too, and crashes Adam_C, which ignores kappa otherwise; after the first eviction
r is compared with a priority that need not be the smallest; and the buffer includes weight decay.
Here the inner optimiser applies weight decay, and B holds gradients alone.

The memory costs C times the parameters, more than the two times of Adam. The aggregations sum, mid
and mean read all of it at every step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.estimators.memories.memory import check_decay
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.optim.gradient_transformation import GradientTransformation
from aopnp.optim.optimiser import Optimiser


@dataclass
class CriticalGradients:
    """The buffer of a parameter [R, ...]; updated in place. Replicas may evict different slots."""

    gradients: Array
    """Past gradients [R, C, ...]; zero beyond `count`."""
    priorities: Array
    """Decayed norms float64 [R, C]; zero beyond `count`."""
    count: int = 0
    """Number of gradients. It is the same in all replicas: each keeps the first C that it sees."""


Aggregation = Callable[[Array, Array, Array, Array], Array]
"""`aggregate(g, past, priorities, kappa) -> g'`, for g [R, ...] and n past gradients.

past is [R, n, ...], priorities [R, n], kappa [R or 1, 1, ...].
"""


def _sum(g: Array, past: Array, priorities: Array, kappa: Array) -> Array:
    return g + kappa * past.mean(1)


def _mid(g: Array, past: Array, priorities: Array, kappa: Array) -> Array:
    return (g + kappa * past.mean(1)) / 2


def _mean(g: Array, past: Array, priorities: Array, kappa: Array) -> Array:
    return (g + kappa * past.sum(1)) / (past.shape[1] + 1)


def _ranked(place: Callable[[int], int]) -> Aggregation:
    """Return the aggregation by the gradient of rank `place(n)` among n, from the smallest up."""

    def aggregate(g: Array, past: Array, priorities: Array, kappa: Array) -> Array:
        xp = array_module(g)
        order = xp.argsort(priorities, axis=1, kind="stable")
        slot = order[:, place(priorities.shape[1])]
        return g + kappa * past[xp.arange(len(g)), slot]

    return aggregate


AGGREGATIONS: dict[str, Aggregation] = {
    "sum": _sum,
    "mid": _mid,
    "mean": _mean,
    "min": _ranked(lambda n: 0),
    "median": _ranked(lambda n: n // 2),
    "max": _ranked(lambda n: n - 1),
}


class Critical(GradientTransformation):
    """Remembers `capacity` = C gradients of every tensor.

    `decay` and `kappa` are numbers or arrays [R], one number for each replica. Gradients in
    factored form are multiplied out. With `synced` all tensors of a replica share one priority,
    and so keep the gradients of the same steps.
    """

    def __init__(
        self,
        inner: Optimiser,
        capacity: int = 10,
        decay: float | Array = 0.7,
        kappa: float | Array = 1.0,
        aggregation: str = "sum",
        *,
        synced: bool = False,
    ) -> None:
        super().__init__(inner)
        check_decay(decay)
        if capacity < 1 or capacity % 1:
            raise ValueError(
                f"expected a capacity of at least 1 gradient, a whole number, got {capacity}"
            )
        if not np.all((np.asarray(kappa) >= 0) & np.isfinite(kappa)):
            raise ValueError(f"expected a finite kappa >= 0, got {kappa}; 0 leaves the past out")
        if aggregation not in AGGREGATIONS:
            raise ValueError(
                f"expected an aggregation among {', '.join(AGGREGATIONS)}, got {aggregation!r}"
            )
        self.capacity = int(capacity)
        self.decay = decay
        self.kappa = kappa
        self.aggregation = aggregation
        self.synced = synced

    @property
    def state_kind(self) -> str:
        return f"{super().state_kind}, {self.capacity} gradients remembered"

    def transform(
        self, parameters: Sequence[Parameter], gradients: Sequence[Array], step: Step
    ) -> list[Array]:
        priorities = [_norms(g) for g in gradients]
        if self.synced:
            total: Any = sum(priorities)
            priorities = [total] * len(priorities)
        aggregated = []
        for parameter, g, r in zip(parameters, gradients, priorities, strict=True):
            if parameter not in self.state:
                self.state[parameter] = self._empty(g)
            state = self.state[parameter]
            aggregated.append(self._aggregate(state, g))
            self._remember(state, g, r)
        return aggregated

    def _empty(self, g: Array) -> CriticalGradients:
        """Return an empty buffer for gradients like g [R, ...]."""
        xp = array_module(g)
        R, *shape = g.shape
        gradients = xp.zeros((R, self.capacity, *shape), g.dtype)
        return CriticalGradients(gradients, xp.zeros((R, self.capacity)))

    def _aggregate(self, state: CriticalGradients, g: Array) -> Array:
        """Return g' [R, ...]."""
        n = state.count
        if n == 0:
            return g
        aggregate = AGGREGATIONS[self.aggregation]
        kappa = replica_factors(self.kappa, g)
        return aggregate(g, state.gradients[:, :n], state.priorities[:, :n], kappa)

    def _remember(self, state: CriticalGradients, g: Array, r: Array) -> None:
        """Put g with priority r [R] into the buffer, if it comes in; then decay the priorities."""
        if state.count < self.capacity:
            state.gradients[:, state.count] = g
            state.priorities[:, state.count] = r
            state.count += 1
        else:
            xp = array_module(g)
            smallest = xp.arange(len(g)), state.priorities.argmin(1)
            larger = r > state.priorities[smallest]
            comes_in = larger.reshape(-1, *(1,) * (g.ndim - 1))
            state.gradients[smallest] = xp.where(comes_in, g, state.gradients[smallest])
            state.priorities[smallest] = xp.where(larger, r, state.priorities[smallest])
        state.priorities *= replica_factors(self.decay, state.priorities)


def _norms(g: Array) -> Array:
    """Return |g| float64 [R].

    The sums run along contiguous rows: the norm of a replica is then the same in a stack as alone.
    """
    xp = array_module(g)
    rows = xp.ascontiguousarray(g.reshape(len(g), -1), np.float64)
    norms: Array = xp.sqrt((rows * rows).sum(-1))
    return norms
