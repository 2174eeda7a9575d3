"""Backward passes at once: the pieces that direct feedback has cut apart do not wait for each other.

What is gained depends on what a backward pass computes: an exact weight gradient of a dense layer is left in factored
form, and it is the optimiser that multiplies it out.
"""

from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step
from aopnp.nn.chain import Chain
from aopnp.nn.layer import Layer
from aopnp.training.rules.backprop import Backprop


@dataclass(frozen=True)
class Unlocked(Backprop):
    """Back-propagation whose segments run in `workers` threads: the same gradients, bit for bit."""

    workers: int = 2
    _pool: ThreadPoolExecutor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"expected at least one worker, got {self.workers}")
        object.__setattr__(self, "_pool", ThreadPoolExecutor(self.workers))

    def backward(self, network: Layer, g: Array, step: Step) -> None:
        if not isinstance(network, Chain):
            raise ValueError(
                f"expected a Chain, whose layers can be told apart, got {type(network).__name__}"
            )
        segments = network.segments()
        gradients: list[Any] = [None] * (len(segments) - 1) + [g]
        running = [
            # In a copy of the context: how NumPy treats overflow is part of it, and new threads begin without.
            self._pool.submit(copy_context().run, segment.backward, own, step, needs_input=False)
            for segment, own in zip(segments, gradients, strict=True)
        ]
        wait(running)
        for each in running:
            each.result()  # raises what was raised in the thread
