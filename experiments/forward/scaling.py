"""How forward gradients fare as the network grows: measured variance, and the largest step size that still trains.

A step size is stable where no short epoch's mean training loss is more than a tenth above log 10, that of a guess, and
the last one's is a hundredth below it, which a network of dead units does not reach; so are all step sizes from the
best one up to it. Nothing is clipped. All step sizes are trained at once, as replicas that share initial weights,
batches and directions.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from aopnp import SGD, CrossEntropy, Streams, fit
from aopnp.arrays.backend import Array
from aopnp.data import Coded
from aopnp.training import Rule, backprop
from aopnp.training.directions import Rademacher, measure
from aopnp.training.rules import ForwardGradient
from experiments.forward.networks import mlp
from experiments.problem import Data

EPOCHS = 6
STEPS = 50
"""Of an epoch."""
DRAWS = 1000
"""Estimates whose mean squared error is the measured variance."""
RATES = {"forward": 2.0 ** np.arange(-15, -2), "backprop": 2.0 ** np.arange(-6, 4)}
"""Rule -> step sizes that are tried: a factor of two apart."""


def scaling(
    data: Data, widths: Sequence[int], runs: int, batch_size: int, seed: int
) -> dict[str, Any]:
    """Return what was measured for each width, as the result file has it."""
    rows = slice(STEPS * batch_size)
    x, target = data.train
    assert isinstance(x, Coded)
    few = Coded(x.codes[rows], x.levels), target[rows]
    found: dict[str, list[Any]] = {}
    for width in widths:
        stable = {
            name: [largest_stable(few, name, width, run, batch_size, seed) for run in range(runs)]
            for name in RATES
        }
        for key, value in {**variance(few, width, batch_size, seed), **stable}.items():
            found.setdefault(key, []).append(value)
    return {"widths": list(widths), **found}


def variance(data: tuple[Coded, Array], width: int, batch_size: int, seed: int) -> dict[str, float]:
    """Return n and the mean of |estimate - g|^2 / |g|^2 of one direction: measured, its 95 % limit, in closed form."""
    network, streams, rows = mlp(width), Streams(seed), np.arange(batch_size)[None]
    network.initialise(streams, np.float32)
    x, target = data[0].take(rows, 0), data[1].take(rows, 0)
    found = measure(Rademacher(), network, CrossEntropy(), x, target, DRAWS, streams=streams)
    assert found.expected_error is not None
    return {
        "n": sum(parameter.value.size for parameter in network.parameters()),
        "error": float(found.error.mean()),
        "error_limit": float(2 * found.error.std() / DRAWS**0.5),
        "expected_error": float(found.expected_error[0]),
    }


def largest_stable(
    data: tuple[Coded, Array], rule: str, width: int, run: int, batch_size: int, seed: int
) -> float | None:
    """Return the largest stable step size of RATES in one run; None where none is."""
    rates = RATES[rule]
    network, streams = mlp(width), Streams(seed, [run] * len(rates))
    network.initialise(streams, np.float32)
    rules: dict[str, Rule] = {
        "forward": ForwardGradient(Rademacher(), clip=None),
        "backprop": backprop,
    }
    optimiser, loss = SGD(rates), CrossEntropy()
    history = fit(
        network,
        loss,
        optimiser,
        data,
        streams=streams,
        batch_size=batch_size,
        epochs=EPOCHS,
        rule=rules[rule],
    )
    losses = history["train_loss"]
    guess = math.log(10)
    stable = (
        (losses < guess + 0.1).all(0) & (losses[-1] < guess - 0.01) & (len(losses) == EPOCHS)
    )  # NaN is not below
    if not stable.any():
        return None
    best = int(np.where(stable, losses[-1], np.inf).argmin())
    return float(rates[best + np.argmin([*stable[best:], False]) - 1])
