"""What backward unlocking saves: a step with direct feedback against back-propagation, one thread and several."""

import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from aopnp import Chain, CrossEntropy, Dense, Streams, Tanh
from aopnp.arrays.backend import Array
from aopnp.estimators import Step
from aopnp.nn import Layer
from aopnp.nn.feedback import DFA, Hook
from aopnp.training import Rule, Unlocked, backprop
from experiments.bench.row import Row, against, in_words
from experiments.bench.steps import Work
from experiments.bench.timing import interleaved

M, WIDTHS = 256, (784, 1024, 1024, 1024, 10)


def feedback_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """Forward, loss and backward of an MLP whose hidden layers are cut apart by DFA, or not."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((M, WIDTHS[0]), np.float32), rng.integers(0, WIDTHS[-1], M)
    size = f"{'-'.join(map(str, WIDTHS))}, M = {M}, update not in it"
    true, direct = mlp(direct=False), mlp(direct=True)
    seconds = interleaved(
        repeats, passes(true, backprop, x, labels), passes(direct, backprop, x, labels)
    )
    yield against(
        "step with DFA / back-propagation", size, seconds[1], ("back-propagation", seconds[0]), None
    )
    one, two = _wall(
        repeats, passes(direct, backprop, x, labels), passes(direct, Unlocked(), x, labels)
    )
    what = "step with DFA, backward in two threads / in one"
    yield Row(what, f"{size}, wall time", in_words(two), f"one thread: {in_words(one)}", two / one)


def mlp(*, direct: bool) -> Layer:
    """Return an initialised tanh network, with true gradients or direct feedback."""
    hidden = [
        layer
        for n, p in pairwise(WIDTHS[:-1])
        for layer in (Dense(n, p), Tanh(), DFA(WIDTHS[-1], p) if direct else Hook())
    ]
    network = Chain(*hidden, Dense(*WIDTHS[-2:]))
    network.initialise(Streams(), np.float32)
    return network


def passes(network: Layer, rule: Rule, x: Array, labels: Array) -> Work:
    """Return one forward and backward pass."""
    loss, step = CrossEntropy(), Step(training=True)

    def once() -> None:
        rule(network, loss, x[None], labels[None], step)

    return once


def _wall(repeats: int, *functions: Work) -> list[float]:
    """Return the median wall seconds of each, in turn: threads take CPU time side by side."""
    samples: list[list[float]] = [[] for _ in functions]
    with threadpool_limits(1):
        for _ in range(repeats + 1):
            for function, measured in zip(functions, samples, strict=True):
                began = time.perf_counter()
                function()
                measured.append(time.perf_counter() - began)
    return [median(measured[1:]) for measured in samples]
