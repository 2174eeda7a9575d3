"""Evaluation: loss and accuracy of a network on a data set, without training anything."""

from typing import TypeAlias

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.data import Coded
from aopnp.nn import Loss
from aopnp.nn.layer import Layer
from aopnp.training.measurements import accuracy, total

Inputs: TypeAlias = Array | Coded
"""Samples [n, N] as numbers, or as bytes that are decoded to numbers."""

VALIDATION_BATCH = 1024
"""Rows evaluated at once unless another number is given.

It does not depend on R, so that a replica is evaluated in a stack as it is alone.
"""


def evaluate(
    network: Layer,
    loss: Loss,
    x: Inputs,
    target: Array,
    *,
    batch_size: int = VALIDATION_BATCH,
) -> dict[str, Array]:
    """Return the mean loss [R] of x [n, N] and, where there are classes, the accuracy [R].

    Raises ValueError or TypeError for data that does not fit network or loss, as `fit` does.
    """
    check_data(network, loss, x, target)
    if batch_size < 1:
        raise ValueError(f"expected a batch of at least 1 row, got {batch_size}")
    return evaluate_checked(network, loss, x, target, batch_size)


def evaluate_checked(
    network: Layer, loss: Loss, x: Inputs, target: Array, batch_size: int
) -> dict[str, Array]:
    """Return the mean loss and the accuracy [R], as `evaluate`, of data that has been checked."""
    xp = array_module(target)
    losses, correct = [], []
    for start in range(0, len(x), batch_size):
        rows = xp.arange(start, min(start + batch_size, len(x)))[None]
        batch_target = target.take(rows, 0)
        y = network.forward(x.take(rows, 0))
        mean = loss.forward(y, batch_target)
        losses.append(mean.astype(np.float64) * rows.shape[1])
        correct.append(loss.correct(y, batch_target))
    return {"loss": total(losses) / len(x)} | accuracy("accuracy", correct, len(x))


def check_data(network: Layer, loss: Loss, x: Inputs, target: Array) -> Array:
    """Return the outputs [R, 1, P] for the first sample of data that fits network and loss.

    Raises ValueError or TypeError where it does not: empty, of unequal lengths, not finite, labels
    out of range.
    """
    if len(x) == 0 or len(x) != len(target):
        raise ValueError(
            f"expected as many samples as targets and at least one, got {len(x)} and {len(target)}"
        )
    xp = array_module(target)
    values = x
    if isinstance(x, Coded):
        values = x.levels
    finite = xp.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"expected finite inputs, got {int((~finite).sum())} NaN or infinite values; "
            "clean the data"
        )
    outputs = network.forward(x.take(xp.zeros((1, 1), np.int64), 0))
    loss.check(target, outputs.shape[-1])
    return outputs
