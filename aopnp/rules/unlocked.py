"""Backward passes at once: what direct feedback has cut apart does not wait for each other."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aopnp.backend import Array
from aopnp.layer import Chain, Layer, Step
from aopnp.rules.backprop import Backprop


@dataclass(frozen=True)
class Unlocked(Backprop):
    """Back-propagation whose segments run in `workers` threads: the same gradients, bit for bit, in less time."""

    workers: int = 2
    _pool: ThreadPoolExecutor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"expected at least one worker, got {self.workers}")
        object.__setattr__(self, "_pool", ThreadPoolExecutor(self.workers))

    def backward(self, network: Layer, g: Array, step: Step) -> None:
        if not isinstance(network, Chain):
            raise ValueError(f"expected a Chain, whose layers can be told apart, got {type(network).__name__}")
        segments = network.segments(step)
        gradients = [None] * (len(segments) - 1) + [g]
        # Asked for one by one: an exception in a thread is raised here.
        for _ in self._pool.map(lambda s, own: s.backward(own, step, needs_input=False), segments, gradients):
            pass
