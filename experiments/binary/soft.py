"""The ways to hold or drop soft weights that are compared: a storage, and who moves what is in it.

float, 8-bit ... 4-bit   an optimiser displaces soft weights; b bits are rounded stochastically
5-bit-nearest            rounded to the nearest level
memoryless               one bit that flips by chance (the 1-bit storage)
naive                    one bit, w <- sign(w - step)
bop                      one bit that flips where a running mean of the gradients says so
frozen                   one bit that stays as it was initialised: batch norm alone is trained
"""

from collections.abc import Callable, Sequence

from aopnp import SGD, Adam
from aopnp.estimators import Step
from aopnp.nn import Parameter
from aopnp.nn.soft_weights import SOFT_WEIGHTS, SoftWeight, Storage
from aopnp.nn.soft_weights.levels import Levels
from aopnp.optim import Bop, Optimiser, SoftWeightUpdate

STORAGES: dict[str, Storage] = {
    **SOFT_WEIGHTS,
    "5-bit-nearest": Levels(5, "nearest"),
    "bop": SOFT_WEIGHTS["memoryless"],
    "frozen": SOFT_WEIGHTS["memoryless"],
}
UPDATES: dict[str, Callable[[float], Optimiser]] = {"sgd": SGD, "adam": Adam}


class RealOnly(SoftWeightUpdate):
    """Soft weights stay as they are, and `inner` moves all other parameters."""

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        self.inner.update([each for each in parameters if not isinstance(each, SoftWeight)], step)


def optimiser(soft: str, update: str, lr: float) -> Optimiser:
    """Return what moves soft weights held as `soft` says, and all other parameters."""
    around = {"bop": Bop, "frozen": RealOnly}.get(soft, SoftWeightUpdate)
    return around(UPDATES[update](lr))
