"""The base of optimisers that are built around another optimiser, the inner one.

Step sizes, schedule and weight decay are those of the inner optimiser, which keeps its usual state.
"""

from collections.abc import Sequence
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.nn.layer import Parameter
from aopnp.optim.optimiser import Optimiser


class Composed(Optimiser):
    """An optimiser that changes the gradients or the parameters that `inner` works with."""

    def __init__(self, inner: Optimiser) -> None:
        super().__init__(inner.base_lr, inner.weight_decay, inner.schedule)
        self.inner = inner

    def lr(self, step: int) -> Array:
        return self.inner.lr(step)

    def group_lr(self, step: int) -> dict[str, Array]:
        return self.inner.group_lr(step)

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        return self.inner.saved(parameters)

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        self.inner.restore(parameters, saved)
