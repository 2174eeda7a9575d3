"""Measure a strategy where it is used: how far its estimates are from the gradient, beside the closed form.

    error       |estimate - g|^2 / |g|^2        its mean is `variance_factor`, wherever that is known
    cosine      <estimate, g> / (|estimate| |g|)

The forward pass is made once: dropout masks and batch statistics are those of one step, and only directions change.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aopnp.arrays.backend import Array, to_host
from aopnp.arrays.streams import Streams
from aopnp.estimators.step import Step
from aopnp.nn import Dense, Loss
from aopnp.nn.feedback import Direct, Transpose
from aopnp.nn.layer import Layer
from aopnp.training.directions.estimate import estimate_gradient
from aopnp.training.directions.strategy import ForwardPass, Strategy, gradients, inner, squared


@dataclass(frozen=True)
class Measured:
    """What `measure` saw, on the host, float64; layers are those with parameters, from the input up."""

    error: Array
    """|estimate - g|^2 / |g|^2 of every draw [draws, R]."""
    cosine: Array
    """Of every draw [draws, R]; NaN where an estimate is zero."""
    layer_error: Array
    """|estimate - g|^2 within a layer over |g|^2 within it [draws, layers, R]."""
    layer_cosine: Array
    """[draws, layers, R]."""
    expected_error: Array | None
    """The closed form of the mean of `error` [R]; None where none is known."""


def measure(
    strategy: Strategy,
    network: Layer,
    loss: Loss,
    x: Array,
    target: Array,
    draws: int,
    *,
    streams: Streams,
    num_dir: int = 1,
    step: Step | None = None,
    state: Any = None,
) -> Measured:
    """Make `draws` estimates, each of `num_dir` directions, of the gradient of the batch x [R or 1, M, N].

    Estimators have to be exact, and no feedback stands for W^T: ValueError.

    `state` is what the strategy remembers of training, for every draw the same; `step` the step whose masks are
    used. As in a training step, the running averages of batch norm move once, gradients are overwritten and the costs
    are counted: better measure a copy of a network that is being trained.
    """
    if draws < 1:
        raise ValueError(f"expected at least one draw, got {draws}")
    for layer in network.walk():
        if isinstance(layer, Direct) or (
            isinstance(layer, Dense) and not isinstance(layer.feedback, Transpose)
        ):
            raise ValueError(
                f"expected a network whose backward pass gives the gradient, got feedback in {layer}"
            )
    step = step or Step(training=True)
    loss.forward(network.forward(x, step), target)
    forward_pass = ForwardPass(network, loss, step, streams, num_dir)
    network.backward(loss.backward(), replace(step, loss=loss), needs_input=False)
    g = gradients(forward_pass)
    expected = strategy.variance_factor(
        forward_pass, g, strategy.begin(forward_pass, copy.deepcopy(state))
    )
    layers = _layers(forward_pass)
    seen = []
    for draw in range(draws):
        estimate_gradient(
            strategy, replace(forward_pass, first=draw * num_dir), copy.deepcopy(state)
        )
        found = gradients(forward_pass)
        seen.append(
            [
                _compared(found, g),
                *(_compared([found[i] for i in own], [g[i] for i in own]) for own in layers),
            ]
        )
    numbers = forward_pass.xp.stack(
        [forward_pass.xp.stack([forward_pass.xp.stack(pair) for pair in each]) for each in seen]
    )
    host = to_host(numbers)
    return Measured(
        error=host[:, 0, 0],
        cosine=host[:, 0, 1],
        layer_error=host[:, 1:, 0],
        layer_cosine=host[:, 1:, 1],
        expected_error=None if expected is None else to_host(expected),
    )


def _compared(estimate: Sequence[Array], g: Sequence[Array]) -> tuple[Array, Array]:
    """Return (error, cosine) [R]."""
    error = squared([a - b for a, b in zip(estimate, g, strict=True)]) / squared(g)
    return error, inner(estimate, g) / (squared(estimate) * squared(g)) ** 0.5


def _layers(forward_pass: ForwardPass) -> list[list[int]]:
    """Return the numbers of the parameters of every layer that has some of its own."""
    numbers = {id(parameter): i for i, parameter in enumerate(forward_pass.parameters)}
    leaves = [layer for layer in forward_pass.network.walk() if layer.parameters()]
    found = [[numbers[id(p)] for p in layer.parameters() if id(p) in numbers] for layer in leaves]
    return [own for own in found if own]
