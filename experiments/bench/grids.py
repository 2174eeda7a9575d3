"""The paper's two grids: CPU time of training all 19 configurations in lock-step."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import numpy as np

from aopnp.data import DataError
from experiments.bench.eager import MnistByHand, import_torch
from experiments.bench.row import Row, against
from experiments.bench.steps import Work
from experiments.bench.timing import interleaved
from experiments.config import Config
from experiments.paper import configurations
from experiments.problem import Data
from experiments.training import load, train_stack

EAGER_STEPS = 100
"""Steps of each configuration that are measured in PyTorch; an epoch is extrapolated from them."""


def load_or_reason(config: Config, data_dir: str | None) -> Data | str:
    """Return the data of a configuration, or a sentence about why there are none."""
    try:
        return load(config.dataset, data_dir, config.batch_size, config.dtype)
    except DataError as error:
        return f"not measured: {error}"


def cpu_seconds(configs: Sequence[Config], runs: int, data_dir: str | None) -> float:
    """Return the CPU seconds of training `runs` runs one after another, each of all configurations in lock-step."""
    began = time.process_time()
    for run in range(runs):
        train_stack([(config, run) for config in configs], data_dir)
    return time.process_time() - began


def mnist_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """One epoch of 19 configurations, evaluation included, against the same steps by hand in PyTorch."""
    configs = [replace(config, epochs=1) for config in configurations("mnist")]
    data, what = load_or_reason(configs[0], data_dir), "one epoch of the mnist grid"
    if isinstance(data, str):
        yield Row(what, f"{len(configs)} configurations", data)
        return
    steps, torch = len(data.train[0]) // configs[0].batch_size, import_torch()
    size = f"{len(configs)} x {steps} steps in lock-step, evaluation included"
    cpu_seconds(configs[:1] + configs[-1:], 1, data_dir)  # compiles
    ours = median(cpu_seconds(configs, 1, data_dir) for _ in range(3))
    if torch is None:
        yield Row(what, size, f"{ours:.2f} s", "not measured: torch is not installed")
        return
    x, labels = data.train
    arrays = (x.take(np.arange(len(x))[None], 0)[0], labels)
    by_hand = [
        MnistByHand(torch, *arrays, c.policy, c.memory, c.k or 0, c.batch_size) for c in configs
    ]
    theirs = (
        sum(interleaved(max(1, repeats // 4), *(_some_steps(each) for each in by_hand)))
        * steps
        / EAGER_STEPS
    )
    name = f"PyTorch {torch.__version__} by hand, no evaluation, from {EAGER_STEPS} steps a configuration"
    yield against(what, size, ours, (name, theirs), 1 / 5)


def energy_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """The whole energy grid, 10 runs of 100 epochs, once everything is compiled."""
    configs = configurations("energy")
    data, what = load_or_reason(configs[0], data_dir), "energy grid, training alone"
    if isinstance(data, str):
        yield Row(what, f"{len(configs)} configurations", data)
        return
    cpu_seconds(configs, 1, data_dir)  # compiles
    seconds = median(cpu_seconds(configs, configs[0].runs, data_dir) for _ in range(3))
    size = f"{len(configs)} configurations x {configs[0].runs} runs x {configs[0].epochs} epochs"
    yield Row(what, size, f"{seconds:.2f} s of CPU", figure=seconds, limit=1.0, unit="s")


def _some_steps(by_hand: MnistByHand) -> Work:
    def some_steps() -> None:
        for _ in range(EAGER_STEPS):
            by_hand.step()

    return some_steps
