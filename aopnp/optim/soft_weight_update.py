"""An optimiser around another for networks with soft weights: the inner one says how far, their storages move them.

    d = what `inner` adds to a weight of zeros        s <- clip(s + d, -1, 1), as the storage does that

So every optimiser works on every storage, and its state (velocities, moments) stays as it is without one. d is of the
weights' dtype and lives for one update. All other parameters are moved by `inner` itself.
"""

from collections.abc import Sequence
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights import SoftWeight
from aopnp.optim.bop import Bop
from aopnp.optim.optimiser import Optimiser


class Displace(Optimiser):
    """`Displace(Adam(5e-3))`. No weight decay: the sign of a weight knows no length, and it would act on zeros."""

    def __init__(self, inner: Optimiser) -> None:
        super().__init__(inner.base_lr, inner.weight_decay, inner.schedule)
        if inner.weight_decay:
            raise ValueError(
                f"expected an optimiser without weight decay for soft weights, got one with {inner.weight_decay}; "
                "clipping to [-1, 1] is what bounds them"
            )
        if isinstance(inner, Displace | Bop):
            raise ValueError(
                f"expected an optimiser of real weights, got {inner.kind}; it needs no Displace around it"
            )
        self.inner = inner

    @property
    def kind(self) -> str:
        return f"{self.inner.kind} displacing soft weights"

    def lr(self, step: int) -> Array:
        return self.inner.lr(step)

    def feedback_lr(self, step: int) -> Array:
        return self.inner.feedback_lr(step)

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        # At once, for some optimisers look at all gradients together.
        stored = [(each, each.value) for each in parameters if isinstance(each, SoftWeight)]
        for parameter, _ in stored:
            parameter.value = parameter.zeros()
        self.inner.update(parameters, step)
        for parameter, value in stored:
            displacement, parameter.value = parameter.value, value
            parameter.move(displacement, step.index)

    def move(self, parameter: Parameter, gradient: Gradient, lr: Array) -> None:
        raise TypeError(
            "expected Displace to update all parameters at once, got one; write Displace(Apart(...))"
        )

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        return self.inner.saved(parameters)

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        self.inner.restore(parameters, saved)
