"""What a problem is: data, network and loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aopnp.arrays.backend import Array
from aopnp.nn import Layer, Loss
from aopnp.training.evaluation import VALIDATION_BATCH, Inputs


class Data(NamedTuple):
    """Training and validation rows (x [n, N], target [n, ...]), and how many rows accuracies are counted against."""

    train: tuple[Inputs, Array]
    validation: tuple[Inputs, Array]
    train_total: int
    validation_total: int


@dataclass(frozen=True)
class Problem:
    """A data set with the network and the loss that are trained on it."""

    load: Callable[[str | None, int], Data]
    network: Callable[[Any], Layer]
    """From what the configuration calls its estimators: one for the only layer, or one for each of three products."""
    loss: Callable[[], Loss]
    validation_batch: int = VALIDATION_BATCH
    """Rows evaluated at once."""
