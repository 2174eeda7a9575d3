"""How good estimates are while a network is trained: every strategy beside its closed form, over layers and training.

Back-propagation trains; at a few steps each strategy makes many estimates of the gradient of one batch. What a strategy
remembers, it has from running along for the nine steps before; at the usual points an anchor is as old as it gets.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp import SGD, CrossEntropy, Dense, Streams
from aopnp.arrays.backend import Array
from aopnp.data.batches import epoch_batches
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.nn import Layer
from aopnp.training.directions import DIRECTIONS, ForwardPass, estimate_gradient, measure
from experiments.forward.networks import mlp
from experiments.problem import Data

POINTS = (9, 99, 399, 1599)
"""Training steps at which estimates are made; 9 modulo 10, so that the anchor is as old as it gets."""
BEFORE = 9
LR = 0.1


@dataclass(frozen=True)
class Batch:
    """A step of training before its update, and the state that each strategy has reached."""

    step: Step
    x: Array
    target: Array
    states: dict[str, Any]


def diagnose(
    data: Data,
    width: int,
    num_dir: int,
    draws: int,
    points: Sequence[int],
    batch_size: int,
    seed: int,
) -> dict[str, Any]:
    """Return what was measured, as the result file has it: lists over points, or over points and layers."""
    network, streams = mlp(width), Streams(seed)
    network.initialise(streams, np.float32)
    results: dict[str, Any] = {name: {key: [] for key in KEYS} for name in DIRECTIONS}
    shares = []
    for batch in _trained(network, data, points, batch_size, num_dir, streams):
        shares.append(_shares(network, batch))
        for name, state in batch.states.items():
            found = measure(
                DIRECTIONS[name](), copy.deepcopy(network), CrossEntropy(), batch.x, batch.target, draws,
                streams=streams, num_dir=num_dir, step=batch.step, state=copy.deepcopy(state),
            )  # fmt: skip
            expected = found.expected_error
            of_point = {
                "error": found.error.mean(),
                "error_limit": 2 * found.error.std() / draws**0.5,
                "expected_error": None if expected is None else expected[0],
                "cosine": np.sqrt((found.cosine**2).mean()),
                "layer_error": found.layer_error[..., 0].mean(0),
                "layer_cosine": np.sqrt((found.layer_cosine[..., 0] ** 2).mean(0)),
            }
            for key, value in of_point.items():
                results[name][key].append(value.tolist() if hasattr(value, "tolist") else value)
    layers = [layer for layer in network.walk() if isinstance(layer, Dense)]
    return {
        "steps": list(points),
        "layers": [f"{layer.inputs} x {layer.outputs}" for layer in layers],
        "sizes": [layer.weight.value[0].size + layer.bias.value[0].size for layer in layers],
        "gradient_shares": shares,
        "strategies": results,
    }


KEYS = ("error", "error_limit", "expected_error", "cosine", "layer_error", "layer_cosine")


def _trained(
    network: Layer,
    data: Data,
    points: Sequence[int],
    batch_size: int,
    num_dir: int,
    streams: Streams,
) -> Iterator[Batch]:
    """Train by back-propagation, and yield at each of `points`."""
    loss, optimiser, states = CrossEntropy(), SGD(LR), dict.fromkeys(DIRECTIONS)
    for index, rows in enumerate(_batches(data, batch_size, streams, max(points) + 1)):
        x, target = data.train[0].take(rows, 0), data.train[1].take(rows, 0)
        step = Step(index, optimiser.lr(index), training=True)
        if index in points:
            yield Batch(step, x, target, states)
        loss.forward(network.forward(x, step), target)
        if any(point - BEFORE <= index < point for point in points):
            forward_pass = ForwardPass(network, loss, step, streams, num_dir)
            states = {
                name: estimate_gradient(DIRECTIONS[name](), forward_pass, states[name])[0]
                for name in DIRECTIONS
            }
        network.backward(loss.backward(), step, needs_input=False)
        optimiser.update(network.parameters(), step)


def _batches(data: Data, batch_size: int, streams: Streams, steps: int) -> Iterator[Array]:
    """Yield the rows of so many batches, epoch after epoch."""
    epoch, left = 1, steps
    while left > 0:
        for rows in epoch_batches(streams, epoch, len(data.train[0]), batch_size, np):
            if left > 0:
                yield rows
            left -= 1
        epoch += 1


def _shares(network: Layer, batch: Batch) -> list[float]:
    """Return |g_l|^2 / |g|^2 of every dense layer."""
    loss = CrossEntropy()
    loss.forward(network.forward(batch.x, batch.step), batch.target)
    network.backward(loss.backward(), batch.step, needs_input=False)
    squares = [
        sum(
            float((dense(p.grad).astype(float) ** 2).sum())
            for p in layer.parameters()
            if p.grad is not None
        )
        for layer in network.walk()
        if isinstance(layer, Dense)
    ]
    return [each / sum(squares) for each in squares]
