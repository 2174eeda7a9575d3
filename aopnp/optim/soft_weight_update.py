"""An optimiser for networks with soft weights: `inner` computes displacements, storages apply them.

    d = the change that `inner` makes to a weight of zeros
    s <- clip(s + d, -1, 1), as the storage rounds it

Thus every optimiser works with every storage, and its state (velocities, moments) is the same as
with real weights. d has the dtype of the weights and lives for one update. `inner` itself moves
all other parameters.
"""

from collections.abc import Sequence

from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights import SoftWeight
from aopnp.optim.bop import Bop
from aopnp.optim.composed import Composed
from aopnp.optim.optimiser import Optimiser


class SoftWeightUpdate(Composed):
    """An optimiser of soft weights, for example `SoftWeightUpdate(Adam(5e-3))`.

    `inner` has no weight decay: the sign of a weight has no length, and the decay would act on
    zeros.
    """

    def __init__(self, inner: Optimiser) -> None:
        super().__init__(inner)
        if inner.weight_decay:
            raise ValueError(
                "expected an optimiser without weight decay for soft weights, got one with "
                f"{inner.weight_decay}; clipping to [-1, 1] bounds them"
            )
        if isinstance(inner, SoftWeightUpdate | Bop):
            raise ValueError(
                f"expected an optimiser of real weights, got {inner.state_kind}; "
                "it needs no SoftWeightUpdate around it"
            )

    @property
    def state_kind(self) -> str:
        return f"{self.inner.state_kind} displacing soft weights"

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        # `inner` updates all parameters in one call, because some optimisers use all gradients
        # together. Meanwhile the soft weights are zeros.
        stored = [(p, p.value) for p in parameters if isinstance(p, SoftWeight)]
        for parameter, _ in stored:
            parameter.value = parameter.zeros()
        self.inner.update(parameters, step)
        for parameter, value in stored:
            displacement = parameter.value
            parameter.value = value
            parameter.move(displacement, step.index)
