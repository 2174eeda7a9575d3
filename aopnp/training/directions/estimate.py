"""The forward gradient of one step: chunks of directions, their derivatives, the estimate."""

import math
from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.training.directions.strategy import ForwardPass, Strategy

ROOM = 256 * 2**20
"""Bytes that the directions of a chunk may take on a device."""


def estimate_gradient(
    strategy: Strategy,
    forward_pass: ForwardPass,
    state: Any,
    *,
    clip: float | None = None,
    at_once: int | None = None,
) -> tuple[Any, Array]:
    """Fill the gradients of the step; return the strategy's next state and the clipped share [R].

    Derivatives are cut to -clip ... clip before they are averaged; the share says how many were.
    `at_once` directions run side by side. None means one on the CPU, and on a device as many as
    fit into 256 MB. The number changes memory and speed, never the estimate. Directions that must
    be drawn together are drawn all at once; their tangents run in chunks, too.
    """
    m, chunk = forward_pass.num_dir, at_once or _fitting(forward_pass)
    drawn = chunk
    if strategy.drawn_together:
        drawn = m
    state = strategy.begin(forward_pass, state)
    for parameter in forward_pass.network.parameters():
        parameter.grad = None
    first = forward_pass.first
    clipped: Any = 0.0
    for done in range(0, m, drawn):
        numbers = range(first + done, first + min(done + drawn, m))
        v = strategy.sample(forward_pass, numbers, state)
        derivatives = []
        for start in range(0, len(numbers), chunk):
            part = [directions[start : start + chunk] for directions in v]
            derivatives.append(strategy.derivative(forward_pass, part, state))
        d = forward_pass.xp.concatenate(derivatives)
        if clip is not None:
            beyond = abs(d) > clip
            shares = beyond.reshape(*d.shape[:2], -1).mean(-1, dtype=float)
            clipped = clipped + shares.sum(0) / m
            d = forward_pass.xp.clip(d, -clip, clip)
        strategy.add(forward_pass, d, v, state)
    return strategy.end(forward_pass, state), clipped


def _fitting(forward_pass: ForwardPass) -> int:
    """Return the number of directions that run side by side unless another number is given."""
    if forward_pass.xp is array_module():
        # On the CPU several directions would only leave the caches.
        return 1
    # The numbers count, not the stored values: soft weights are stored in fewer bytes than their
    # tangents take.
    size = 0
    for parameter in forward_pass.parameters:
        size += math.prod(parameter.shape) * parameter.dtype.itemsize
    return max(1, ROOM // size)
