"""Back-propagation in threads: segments that end in direct feedback do not wait for each other.

The gain depends on the work in a backward pass. An exact weight gradient of a dense layer, for
example, is left in factored form there, and the optimiser multiplies it out later.
"""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step
from aopnp.nn.chain import Chain
from aopnp.nn.layer import Layer
from aopnp.training.rules.backprop import Backprop


@dataclass(frozen=True)
class Unlocked(Backprop):
    """Back-propagation whose segments run in `workers` threads: the same gradients, bit for bit.

    The threads start with the first backward pass in a process. Pickles and copies hold only the
    options.
    """

    workers: int = 2

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"expected at least one worker, got {self.workers}")

    @cached_property
    def _pools(self) -> dict[int, ThreadPoolExecutor]:
        """Process id -> the threads of that process.

        A forked process inherits this dict, but none of its parent's threads.
        """
        return {}

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self).copy()
        state.pop("_pools", None)
        return state

    def backward(self, network: Layer, g: Array, step: Step) -> None:
        if not isinstance(network, Chain):
            raise ValueError(
                f"expected a Chain, whose layers can be told apart, got {type(network).__name__}"
            )
        process = os.getpid()
        if process not in self._pools:
            self._pools[process] = ThreadPoolExecutor(self.workers)
        pool = self._pools[process]
        segments = network.segments()
        # Only the uppermost segment takes a gradient from above.
        gradients: list[Any] = [None] * len(segments)
        gradients[-1] = g
        running = []
        for segment, gradient in zip(segments, gradients, strict=True):
            # A new thread begins without NumPy's settings for overflow: a copy of the context
            # brings them along.
            run = copy_context().run
            task = pool.submit(run, segment.backward, gradient, step, needs_input=False)
            running.append(task)
        wait(running)
        for task in running:
            # Raises the exception that was raised in the thread, if any.
            task.result()
