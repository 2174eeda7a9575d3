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
    """Fill the gradients of the step; return (the strategy's state, the share of clipped derivatives [R]).

    Derivatives beyond -clip ... clip are cut there, before they are averaged. `at_once` directions run side by side
    (None: one on the CPU, as many as fit 256 MB on a device): a matter of memory and speed alone, the estimate is the
    same. What has to be drawn together is drawn at once, and runs in such chunks too.
    """
    m, chunk = forward_pass.num_dir, at_once or _fitting(forward_pass)
    drawn = m if strategy.drawn_together else chunk
    state = strategy.begin(forward_pass, state)
    for parameter in forward_pass.network.parameters():
        parameter.grad = None
    clipped: Any = 0.0
    for done in range(0, m, drawn):
        numbers = range(forward_pass.first + done, forward_pass.first + min(done + drawn, m))
        v = strategy.sample(forward_pass, numbers, state)
        chunks = [[own[a : a + chunk] for own in v] for a in range(0, len(numbers), chunk)]
        d = forward_pass.xp.concatenate(
            [strategy.derivative(forward_pass, each, state) for each in chunks]
        )
        if clip is not None:
            beyond = abs(d) > clip
            clipped = clipped + beyond.reshape(*d.shape[:2], -1).mean(-1, dtype=float).sum(0) / m
            d = forward_pass.xp.clip(d, -clip, clip)
        strategy.add(forward_pass, d, v, state)
    return strategy.end(forward_pass, state), clipped


def _fitting(forward_pass: ForwardPass) -> int:
    if forward_pass.xp is array_module():
        return 1  # more would only leave the caches
    # By the shape of the numbers: soft weights are stored in fewer bytes than their tangents take.
    bytes_each = sum(
        math.prod(parameter.shape) * parameter.dtype.itemsize
        for parameter in forward_pass.parameters
    )
    return max(1, ROOM // bytes_each)
