"""Measurements of a strategy at a point of training: the error of its estimates.

    error       |estimate - g|^2 / |g|^2
    cosine      <estimate, g> / (|estimate| |g|)

If a closed form is known, the mean of the error is `Strategy.variance_factor`.

The forward pass is made once: all estimates share the dropout masks and batch statistics of one
step, and only the directions change.
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
    """The measurements of `measure`, float64 on the host.

    A draw is one estimate. Layers are the layers with parameters, from the input up.
    """

    error: Array
    """|estimate - g|^2 / |g|^2 of every draw [draws, R]."""
    cosine: Array
    """The cosine of every draw [draws, R]; NaN where the estimate is zero."""
    layer_error: Array
    """|estimate - g|^2 within a layer, over |g|^2 within it [draws, layers, R]."""
    layer_cosine: Array
    """The cosine within a layer [draws, layers, R]."""
    expected_error: Array | None
    """The closed form of the mean of `error` [R]; None if none is known."""


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
    """Make estimates of the gradient g of a batch, and compare them with g.

    The batch is x [R or 1, M, N] with its target. There are `draws` estimates, each of `num_dir`
    directions.

    `state` is the state that the strategy has reached in training, the same for every draw. `step`
    is the step whose dropout masks are used. As in a training step, the running averages of batch
    normalisation move once, gradients are overwritten and costs are counted: to measure a network
    that is being trained, give a copy of it.

    All estimators must be exact, so that back-propagation gives the gradient. Raises ValueError
    for a network with feedback in the place of W^T, and for no draws.
    """
    if draws < 1:
        raise ValueError(f"expected at least one draw, got {draws}")
    for layer in network.walk():
        if _has_feedback(layer):
            raise ValueError(
                "expected a network whose backward pass gives the gradient, got feedback in "
                f"{layer}"
            )
    step = step or Step(training=True)
    loss.forward(network.forward(x, step), target)
    forward_pass = ForwardPass(network, loss, step, streams, num_dir)
    network.backward(loss.backward(), replace(step, loss=loss), needs_input=False)
    g = gradients(forward_pass)
    begun = strategy.begin(forward_pass, copy.deepcopy(state))
    expected = strategy.variance_factor(forward_pass, g, begun)
    if expected is not None:
        expected = to_host(expected)
    layers = _parameters_of_layers(forward_pass)
    measured = []
    for draw in range(draws):
        of_draw = replace(forward_pass, first=draw * num_dir)
        estimate_gradient(strategy, of_draw, copy.deepcopy(state))
        measured.append(_compare(gradients(forward_pass), g, layers, forward_pass.xp))
    numbers = to_host(forward_pass.xp.stack(measured))
    return Measured(
        error=numbers[:, 0, 0],
        cosine=numbers[:, 0, 1],
        layer_error=numbers[:, 1:, 0],
        layer_cosine=numbers[:, 1:, 1],
        expected_error=expected,
    )


def _has_feedback(layer: Layer) -> bool:
    if isinstance(layer, Direct):
        return True
    return isinstance(layer, Dense) and not isinstance(layer.feedback, Transpose)


def _parameters_of_layers(forward_pass: ForwardPass) -> list[list[int]]:
    """Return the numbers of the parameters of every layer that has parameters."""
    numbers = {id(parameter): i for i, parameter in enumerate(forward_pass.parameters)}
    of_layers = []
    for layer in forward_pass.network.walk():
        found = [numbers[id(p)] for p in layer.parameters() if id(p) in numbers]
        if found:
            of_layers.append(found)
    return of_layers


def _compare(
    estimate: Sequence[Array], g: Sequence[Array], layers: Sequence[Sequence[int]], xp: Any
) -> Array:
    """Return error and cosine [1 + layers, 2, R]: over all parameters, then within each layer."""
    rows = [_error_and_cosine(estimate, g, xp)]
    for numbers in layers:
        within = [estimate[i] for i in numbers]
        rows.append(_error_and_cosine(within, [g[i] for i in numbers], xp))
    return xp.stack(rows)


def _error_and_cosine(estimate: Sequence[Array], g: Sequence[Array], xp: Any) -> Array:
    """Return the error and the cosine [2, R]."""
    difference = [a - b for a, b in zip(estimate, g, strict=True)]
    error = squared(difference) / squared(g)
    cosine = inner(estimate, g) / (squared(estimate) * squared(g)) ** 0.5
    return xp.stack([error, cosine])
