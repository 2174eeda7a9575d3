"""Train a stack: one run of several configurations, which share every minibatch, or several runs of each."""

import functools
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import scipy.linalg.blas  # noqa: F401 - loaded before threads are limited: a BLAS that came later would escape
from threadpoolctl import threadpool_limits

from aopnp import History, Streams, fit
from aopnp.arrays.backend import Array, to_device
from aopnp.data import Coded
from aopnp.training.evaluation import Inputs
from experiments.configuration import Configuration
from experiments.problem import Data
from experiments.problems import PROBLEMS

Member: TypeAlias = tuple[Configuration, int]
"""One run of one configuration."""


@functools.lru_cache(maxsize=1)
def load(dataset: str, data_dir: str | None, batch_size: int, dtype: str) -> Data:
    """Return the data of a problem, real numbers in `dtype`; kept, because a process trains many runs."""
    data = PROBLEMS[dataset].load(data_dir, batch_size)

    def cast(pair: tuple[Inputs, Array]) -> tuple[Inputs, Array]:
        x, target = pair
        inputs = Coded(x.codes, x.levels.astype(dtype)) if isinstance(x, Coded) else x.astype(dtype)
        return inputs, target if target.dtype.kind == "i" else target.astype(dtype)

    return data._replace(train=cast(data.train), validation=cast(data.validation))


def train_stack(members: Sequence[Member], data_dir: str | None) -> list[dict[str, Any]]:
    """Train runs of configurations whose `stack` keys are equal, as one stack.

    Returns a record each: {"history": {curve: [epochs]}, "diverged_at": None or {...}, "seconds": its share}.
    """
    config, began = members[0][0], time.perf_counter()
    problem, data = (
        PROBLEMS[config.dataset],
        load(config.dataset, data_dir, config.batch_size, config.dtype),
    )
    network = problem.network(config.estimators([each for each, _ in members]))
    streams = Streams(config.seed, [run for _, run in members])
    network.initialise(streams, config.dtype, config.device)
    steps = config.epochs * (len(data.train[0]) // config.batch_size)
    with threadpool_limits(1):  # one BLAS thread: a stack then equals each run alone, bit for bit
        history = fit(
            network,
            problem.loss(),
            config.optimiser(steps),
            _moved(data.train, config.device),
            streams=streams,
            batch_size=config.batch_size,
            epochs=config.epochs,
            rule=config.learning_rule(steps),
            validation=_moved(data.validation, config.device),
            validation_batch=problem.validation_batch,
        )
    seconds = (time.perf_counter() - began) / len(members)
    return [
        record(history, r, run, data, config) | {"seconds": seconds}
        for r, (config, run) in enumerate(members)
    ]


def _moved(pair: tuple[Inputs, Array], device: str) -> tuple[Inputs, Array]:
    x, target = pair
    return x.to_device(device) if isinstance(x, Coded) else to_device(x, device), to_device(
        target, device
    )


def record(
    history: History, replica: int, run: int, data: Data, config: Configuration
) -> dict[str, Any]:
    """Return what one replica's run left: curves with null where not finite, and after a divergence."""
    epochs, train_rows = config.epochs, len(data.train[0]) // config.batch_size * config.batch_size
    validation_rows = len(data.validation[0])
    counted = {
        "train_accuracy": train_rows / data.train_total,
        "val_accuracy": validation_rows / data.validation_total,
    }
    divergence = history.diverged.get(replica)
    last = epochs if divergence is None else divergence.epoch
    curves = {
        name: _finite(history[name][:last, replica] * counted.get(name, 1.0))
        + [None] * (epochs - last)
        for name in history.curves
    }
    where = (
        None
        if divergence is None
        else {"run": run, "epoch": divergence.epoch, "step": divergence.step}
    )
    return {"history": curves, "diverged_at": where}


def _finite(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
