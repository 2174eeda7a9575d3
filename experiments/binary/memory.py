"""The bytes that one run of a configuration keeps, by the library's ledger, after one update."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from aopnp import Streams
from aopnp.estimators.step import Step
from aopnp.training.memory_footprint import Bytes, bytes_held
from experiments.binary.config import BinaryConfig
from experiments.binary.problems import BINARY


def kept(config: BinaryConfig) -> dict[str, Bytes]:
    """Return the bytes of `binary` weights and of `real` parameters; rates, runs and epochs make no difference."""
    return _kept(replace(config, runs=1, epochs=1, seed=0, device="cpu", lr=0.1))


@lru_cache
def _kept(config: BinaryConfig) -> dict[str, Bytes]:
    network, optimiser = (
        BINARY[config.experiment].network(config.estimators([config])),
        config.optimiser(1),
    )
    network.initialise(Streams(), config.dtype)
    for parameter in network.parameters():
        parameter.grad = np.zeros(parameter.shape, parameter.dtype)
    optimiser.update(network.parameters(), Step(training=True))
    return bytes_held(network, optimiser)
