"""The training loop: epochs of batches; a rule fills the gradients, an optimiser applies them."""

from collections.abc import Callable

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_host
from aopnp.arrays.streams import Streams
from aopnp.data.batches import epoch_batches
from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer
from aopnp.optim import Optimiser
from aopnp.training.evaluation import VALIDATION_BATCH, Inputs, check_data, evaluate_checked
from aopnp.training.history import History
from aopnp.training.measurements import (
    accuracy,
    costs,
    finite_weights,
    observations,
    total_of_steps,
)
from aopnp.training.rules import Rule, backprop
from aopnp.training.selection_noise import epoch_noise


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
    """Train all replicas of an initialised `network`; return the History.

    `data` is (x [n, N], target [n, ...]); so is `validation`, of which `validation_batch` rows are
    evaluated at once. `rule` fills the gradients. `on_epoch(epoch, history)` is called after each
    epoch. To go on with a loaded network that has seen e epochs, give `first_epoch` e + 1: epochs
    e + 1 to `epochs` are then trained, and are in the History, as if the first e had come before.

    A replica that diverges is reported in the history and does not disturb the others; when all
    have diverged, training ends. Raises ValueError or TypeError for data that does not fit
    network, loss or batch size: empty, not finite, labels out of range, too small.
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
        # Overflow is no error here: `finite` finds the replicas that diverge.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            curves, finite = _train_epoch(
                network, loss, optimiser, rule, data, streams, batch_size, epoch
            )
            if validation is not None:
                seen = evaluate_checked(network, loss, *validation, validation_batch)
                curves |= {f"val_{name}": value for name, value in seen.items()}
                finite[-1] &= np.isfinite(curves["val_loss"])
        history.append(curves)
        history.note_divergence(epoch, finite)
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
    """Train one epoch; return its curves, and whether each loss and, last, the weights are finite.

    The flags are [steps + 1, R].
    """
    x, target = data
    xp, steps = array_module(target), len(x) // batch_size
    parameters = network.parameters()
    noise = epoch_noise(network, streams, epoch, steps, batch_size, xp)
    losses, correct = xp.empty((steps, streams.replicas)), []
    for t, rows in enumerate(epoch_batches(streams, epoch, len(x), batch_size, xp)):
        index = (epoch - 1) * steps + t
        step_noise = {}
        for product, of_epoch in noise.items():
            step_noise[product] = of_epoch[t]
        step = Step(
            index,
            optimiser.lr(index),
            step_noise,
            training=True,
            epoch=epoch,
            loss=loss,
            group_lr=optimiser.group_lr(index),
        )
        batch, batch_target = x.take(rows, 0), target.take(rows, 0)
        losses[t], y = rule(network, loss, batch, batch_target, step)
        correct.append(loss.correct(y, batch_target))
        optimiser.update(parameters, step)
    # All reading from a device happens here, once an epoch, so that no step waits for it.
    host_losses = to_host(losses)
    curves = {"train_loss": total_of_steps(host_losses) / steps}
    curves |= observations(network, rule) | costs(network, rule)
    curves |= accuracy("train_accuracy", correct, steps * batch_size)
    return curves, np.vstack([np.isfinite(host_losses), finite_weights(network)])


def _check(
    network: Layer,
    loss: Loss,
    data: tuple[Inputs, Array],
    streams: Streams,
    batch_size: int,
    epochs: int,
) -> None:
    """Raise ValueError or TypeError for data or sizes that cannot be trained with."""
    x, target = data
    if batch_size < 1 or epochs < 1:
        raise ValueError(
            f"expected batch size and epochs of at least 1, got {batch_size} and {epochs}"
        )
    if 0 < len(x) < batch_size:
        raise ValueError(
            f"expected a batch size of at most the {len(x)} samples, got {batch_size}; "
            "lower it or add data"
        )
    outputs = check_data(network, loss, x, target)
    if len(outputs) != streams.replicas:
        raise ValueError(
            f"expected a network of R = {streams.replicas} replicas, got {len(outputs)}; "
            "initialise it with the streams"
        )
