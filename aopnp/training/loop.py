"""The loop a student reads: epochs of batches, a rule that fills the gradients, an optimiser that applies them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_host
from aopnp.arrays.streams import Streams
from aopnp.data import Coded
from aopnp.data.batches import epoch_batches
from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer
from aopnp.optim import Optimiser
from aopnp.training.rules import Rule, backprop
from aopnp.training.selection_noise import epoch_noise

Inputs: TypeAlias = Array | Coded
"""Samples [n, N] as numbers, or as bytes that stand for numbers."""

VALIDATION_BATCH = 1024
"""Rows evaluated at once unless another number is given. Independent of R, so that a replica is evaluated in a stack
as it is alone."""


class Divergence(NamedTuple):
    """Where a replica's loss stopped being finite: epoch from 1, step from 1 within the epoch.

    `step` is one past the last step where only the weights or the validation loss were not finite after it.
    """

    epoch: int
    step: int


@dataclass
class History:
    """What `fit` measured: one entry an epoch, each an array [R]."""

    curves: dict[str, list[Array]] = field(default_factory=dict)
    """train_loss (mean of the batch losses before each step), val_loss, train_accuracy and val_accuracy (share of
    the rows seen), what watched layers recorded (`gradient_error`, ...; of several layers `gradient_error/0`) and,
    summed over the layers, what the training steps cost (`flops`, ...)."""
    diverged: dict[int, Divergence] = field(default_factory=dict)
    """Replica -> where it diverged. Its curves hold NaN or infinity from there on."""

    def __getitem__(self, name: str) -> Array:
        """Return a curve as [epochs, R]."""
        return np.array(self.curves[name])

    def append(self, values: dict[str, Array]) -> None:
        """Add one epoch."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)


def fit(
    network: Layer,
    loss: Loss,
    optimiser: Optimiser,
    data: tuple[Inputs, Array],
    *,
    streams: Streams,
    batch_size: int,
    epochs: int,
    rule: Rule = backprop,
    first_epoch: int = 1,
    validation: tuple[Inputs, Array] | None = None,
    validation_batch: int = VALIDATION_BATCH,
    on_epoch: Callable[[int, History], None] = lambda epoch, history: None,
) -> History:
    """Train all replicas of an initialised `network` on data (x [n, N], target [n, ...]); return the History.

    `rule` fills the gradients. To go on with a loaded network, which has seen e epochs, give `first_epoch` e + 1:
    epochs e + 1 to `epochs` are then trained, and are in the History, as if the first e had come before.
    `validation_batch` rows are evaluated at once.
    `on_epoch(epoch, history)` is called after each epoch. A replica that diverges is reported in the history and
    does not disturb the others; when all have diverged, training ends. Raises ValueError or TypeError for data that
    does not fit network, loss or batch size: empty, not finite, labels out of range, too small.
    """
    _check(network, loss, data, streams, batch_size, epochs)
    if validation is not None:
        _check(network, loss, validation, streams, 1, epochs)
    if validation_batch < 1:
        raise ValueError(f"expected a validation batch of at least 1 row, got {validation_batch}")
    if not 1 <= first_epoch <= epochs + 1:
        raise ValueError(
            f"expected the first epoch from 1 to {epochs + 1}, one past the last, got {first_epoch}"
        )
    rule.begin(network, streams)
    history = History()
    for epoch in range(first_epoch, epochs + 1):
        with np.errstate(
            over="ignore", invalid="ignore", divide="ignore"
        ):  # divergence is looked for below
            measured, finite = _train_epoch(
                network, loss, optimiser, rule, data, streams, batch_size, epoch
            )
            if validation is not None:
                evaluated = evaluate(network, loss, *validation, batch_size=validation_batch)
                measured |= {f"val_{name}": value for name, value in evaluated.items()}
                finite[-1] &= np.isfinite(measured["val_loss"])
        history.append(measured)
        for r in np.flatnonzero(~finite.all(0)):
            history.diverged.setdefault(int(r), Divergence(epoch, int(np.argmin(finite[:, r])) + 1))
        on_epoch(epoch, history)
        if len(history.diverged) == streams.replicas:
            break
    return history


def _train_epoch(
    network: Layer,
    loss: Loss,
    optimiser: Optimiser,
    rule: Rule,
    data: tuple[Inputs, Array],
    streams: Streams,
    batch_size: int,
    epoch: int,
) -> tuple[dict[str, Array], Array]:
    """Train one epoch; return its curves and whether each loss and, last, the weights are finite [steps + 1, R]."""
    x, target = data
    parameters = network.parameters()
    xp, steps = array_module(target), len(x) // batch_size
    noise = epoch_noise(network, streams, epoch, steps, batch_size, xp)
    losses, correct = xp.empty((steps, streams.replicas)), []
    for t, rows in enumerate(epoch_batches(streams, epoch, len(x), batch_size, xp)):
        index = (epoch - 1) * steps + t
        own_noise = {product: each[t] for product, each in noise.items()}
        step = Step(
            index,
            optimiser.lr(index),
            own_noise,
            training=True,
            epoch=epoch,
            group_lr=optimiser.group_lr(index),
        )
        batch_target = target.take(rows, 0)
        losses[t], y = rule(network, loss, x.take(rows, 0), batch_target, step)
        correct.append(loss.correct(y, batch_target))
        optimiser.update(parameters, step)
    # All reading from a device happens here, once an epoch: inside the steps nobody waits for it.
    host_losses = to_host(losses)
    weights = [
        to_host(xp.isfinite(p.value).reshape(len(p.value), -1).all(1)) for p in network.parameters()
    ]
    measured = (
        {"train_loss": _sum_steps(host_losses) / steps}
        | _observations(network, rule)
        | _spent(network, rule)
        | _accuracy("train_accuracy", correct, steps * batch_size)
    )
    return measured, np.vstack([np.isfinite(host_losses), np.all(weights, axis=0)])


def evaluate(
    network: Layer, loss: Loss, x: Inputs, target: Array, *, batch_size: int = VALIDATION_BATCH
) -> dict[str, Array]:
    """Return the mean loss [R], and accuracy [R] where there are classes, of x [n, N] without training anything."""
    losses, correct = [], []
    for start in range(0, len(x), batch_size):
        rows = array_module(target).arange(start, min(start + batch_size, len(x)))[None]
        batch_target = target.take(rows, 0)
        y = network.forward(x.take(rows, 0))
        losses.append(loss.forward(y, batch_target).astype(np.float64) * rows.shape[1])
        correct.append(loss.correct(y, batch_target))
    return {"loss": _sum(losses) / len(x)} | _accuracy("accuracy", correct, len(x))


def _accuracy(name: str, correct: list[Array | None], rows: int) -> dict[str, Array]:
    counts = [count for count in correct if count is not None]
    return {name: _sum(counts) / rows} if counts else {}


def _sum(values: list[Array]) -> Array:
    """Return the sum of arrays [R] on the host."""
    return _sum_steps(to_host(array_module(*values).stack(values)))


def _sum_steps(values: Array) -> Array:
    """Return the sum over the first axis of values [steps, R].

    Summed along contiguous rows: NumPy's order of summation then does not depend on R, and a replica's sum in a stack
    is its sum alone.
    """
    return np.ascontiguousarray(values.T).sum(-1)


def _observations(network: Layer, rule: Rule) -> dict[str, Array]:
    watched = {
        number: seen
        for number, layer in enumerate(network.walk())
        if (seen := layer.observations())
    }
    of_layers = {
        name if len(watched) == 1 else f"{name}/{number}": value
        for number, seen in watched.items()
        for name, value in seen.items()
    }
    return {name: to_host(value) for name, value in (of_layers | rule.observations()).items()}


def _spent(network: Layer, rule: Rule) -> dict[str, Array]:
    totals: dict[str, Array] = {}
    spenders: list[Layer | Rule] = [*network.walk(), rule]
    for spender in spenders:
        for name, value in spender.spent().items():
            totals[name] = totals.get(name, 0.0) + to_host(value)
    return totals


def _check(
    network: Layer,
    loss: Loss,
    data: tuple[Inputs, Array],
    streams: Streams,
    batch_size: int,
    epochs: int,
) -> None:
    x, target = data
    if len(x) == 0 or len(x) != len(target):
        raise ValueError(
            f"expected as many samples as targets and at least one, got {len(x)} and {len(target)}"
        )
    if batch_size < 1 or epochs < 1:
        raise ValueError(
            f"expected batch size and epochs of at least 1, got {batch_size} and {epochs}"
        )
    if batch_size > len(x):
        raise ValueError(
            f"expected a batch size of at most the {len(x)} samples, got {batch_size}; lower it or add data"
        )
    xp, values = array_module(target), x.levels if isinstance(x, Coded) else x
    finite = xp.isfinite(values)
    if not finite.all():
        raise ValueError(
            f"expected finite inputs, got {int((~finite).sum())} NaN or infinite values; clean the data"
        )
    outputs = network.forward(x.take(xp.zeros((1, 1), np.int64), 0))
    if len(outputs) != streams.replicas:
        raise ValueError(
            f"expected a network of R = {streams.replicas} replicas, got {len(outputs)}; initialise it with the streams"
        )
    loss.check(target, outputs.shape[-1])
