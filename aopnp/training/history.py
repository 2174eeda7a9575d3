"""The measurements of a training: curves over the epochs, and where a replica diverged."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from aopnp.arrays.backend import Array


class Divergence(NamedTuple):
    """Where the loss of a replica stopped being finite: epoch from 1, step from 1 within the epoch.

    `step` is one past the last step where only the weights or the validation loss were not finite.
    """

    epoch: int
    step: int


@dataclass
class History:
    """The curves that `fit` measured: one entry for each epoch, an array [R]."""

    curves: dict[str, list[Array]] = field(default_factory=dict)
    """Name -> values of all epochs.

    train_loss (mean of the batch losses before each step), val_loss, train_accuracy and
    val_accuracy (share of the seen rows); the measurements of watched layers (`gradient_error`,
    ..., or `gradient_error/0` where several layers are watched); and, summed over the layers, the
    costs of the training steps (`flops`, ...).
    """
    diverged: dict[int, Divergence] = field(default_factory=dict)
    """Replica -> where it diverged. Its curves hold NaN or infinity from there on."""

    def __getitem__(self, name: str) -> Array:
        """Return a curve as [epochs, R]."""
        return np.array(self.curves[name])

    def append(self, values: dict[str, Array]) -> None:
        """Add one epoch."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)

    def note_divergence(self, epoch: int, finite: Array) -> None:
        """Note the replicas that diverged in `epoch`.

        `finite` [steps, R] says of each step whether its loss was finite.
        """
        for r in np.flatnonzero(~finite.all(0)):
            step = int(np.argmin(finite[:, r])) + 1
            self.diverged.setdefault(int(r), Divergence(epoch, step))
