"""Critical gradients: the largest past gradients go on pushing (McRae, Parthasarathi, Assran and Chandar, ICLR 2022).

    g' = aggregate(g, B)                             B: at most C past gradients of this tensor, each with a priority
    B  <- B with (g, r), if |B| < C or r > min p     r = |g|, or the sum of all tensors' norms (`synced`)
    p  <- decay p                                    the priorities, never the gradients

g' is handed to the inner optimiser: Critical(SGD(lr)) is the paper's SGD_C, and for Adam_C it takes
Critical(Adam(lr), aggregation="mean"). B in g' is the buffer before g comes in; g' = g while it is empty.

    sum, mid    g + kappa mean(B), half of it        min, median, max    g + kappa b, b in B of this rank by priority
    mean        (g + kappa sum(B)) / (|B| + 1)

Ties: a gradient of just the smallest priority does not come in; of equal priorities that in the earlier slot ranks, and
goes, first; the median of an even number is the upper one. All but mean and mid hand on g itself at kappa = 0.

The published code differs where it contradicts the paper or itself: there kappa = 0 turns momentum off too and crashes
Adam_C, which ignores kappa otherwise; after the first eviction r is compared with a priority that need not be the
smallest; and the buffer holds weight decay. Here the inner optimiser decays, and B holds gradients alone.

The memory costs C times the parameters, more than Adam's two; sum, mid and mean read it all at every step.
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
    """What was kept [R, C, ...]; zero beyond `count`."""
    priorities: Array
    """Decayed norms float64 [R, C]; zero beyond `count`."""
    count: int = 0
    """Number of gradients: the same in all replicas, for each of them keeps the first C that it sees."""


Aggregation = Callable[[Array, Array, Array, Array], Array]
"""(g [R, ...], remembered [R, n, ...], their priorities [R, n], kappa [R or 1, 1...]) -> what the optimiser sees."""


def _ranked(place: Callable[[int], int]) -> Aggregation:
    def aggregate(g: Array, remembered: Array, priorities: Array, kappa: Array) -> Array:
        order = array_module(g).argsort(priorities, axis=1, kind="stable")
        slot = order[:, place(priorities.shape[1])]
        return g + kappa * remembered[array_module(g).arange(len(g)), slot]

    return aggregate


AGGREGATIONS: dict[str, Aggregation] = {
    "sum": lambda g, remembered, priorities, kappa: g + kappa * remembered.mean(1),
    "mid": lambda g, remembered, priorities, kappa: (g + kappa * remembered.mean(1)) / 2,
    "mean": lambda g, remembered, priorities, kappa: (
        (g + kappa * remembered.sum(1)) / (remembered.shape[1] + 1)
    ),
    "min": _ranked(lambda n: 0),
    "median": _ranked(lambda n: n // 2),
    "max": _ranked(lambda n: n - 1),
}


class Critical(GradientTransformation):
    """Remembers `capacity` = C gradients of every tensor. `decay` and `kappa` are numbers or [R], one a replica.

    Gradients in factored form are multiplied out. `synced`: all tensors of a replica share one priority, and so keep
    the gradients of the same steps.
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
        self.capacity, self.decay, self.kappa = int(capacity), decay, kappa
        self.aggregation, self.synced = aggregation, synced

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
        return [
            self._past_and(*each) for each in zip(parameters, gradients, priorities, strict=True)
        ]

    def _past_and(self, parameter: Parameter, g: Array, r: Array) -> Array:
        """Return g' and remember g with priority r [R]."""
        if parameter not in self.state:
            xp, (R, *shape) = array_module(g), g.shape
            empty = xp.zeros((R, self.capacity, *shape), g.dtype), xp.zeros((R, self.capacity))
            self.state[parameter] = CriticalGradients(*empty)
        state = self.state[parameter]
        past = state.gradients[:, : state.count], state.priorities[:, : state.count]
        aggregated = (
            AGGREGATIONS[self.aggregation](g, *past, replica_factors(self.kappa, g))
            if state.count
            else g
        )
        self._remember(state, g, r)
        return aggregated

    def _remember(self, state: CriticalGradients, g: Array, r: Array) -> None:
        if state.count < self.capacity:
            state.gradients[:, state.count], state.priorities[:, state.count] = g, r
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
    """Return |g| float64 [R], summed along contiguous rows: a replica's is then the same in a stack as alone."""
    xp = array_module(g)
    rows = xp.ascontiguousarray(g.reshape(len(g), -1), np.float64)
    norms: Array = xp.sqrt((rows * rows).sum(-1))
    return norms
