"""Back-propagation in threads: segments that end in direct feedback do not wait for each other.

The gain depends on the work in a backward pass. An exact weight gradient of a dense layer, for
example, is left in factored form there, and the optimiser multiplies it out later.
"""

from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step
from aopnp.nn.layer import Chain, Layer
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
        # Only the uppermost segment takes a gradient from above.
        gradients: list[Any] = [None] * len(segments)
        gradients[-1] = g
        running = []
        for segment, gradient in zip(segments, gradients, strict=True):
            # A new thread begins without NumPy's settings for overflow: a copy of the context
            # brings them along.
            run = copy_context().run
            task = self._pool.submit(run, segment.backward, gradient, step, needs_input=False)
            running.append(task)
        wait(running)
        for task in running:
            # Raises the exception that was raised in the thread, if any.
            task.result()
