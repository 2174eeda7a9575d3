"""What a configuration keeps in memory from step to step beside the parameters, counted in one step of two rows.

The step takes one direction: what is kept does not depend on how many, but for directions that are drawn together. Of
those the room for the first step's is counted, nothing of which is touched.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from aopnp import Streams
from aopnp.estimators.step import Step
from aopnp.training import ForwardGradient
from aopnp.training.directions import ForwardPass
from aopnp.training.serialise import pack
from experiments.forward.config import ForwardConfig
from experiments.forward.problems import FORWARD


@lru_cache
def kept_bytes(config: ForwardConfig) -> int:
    """Return the bytes of what the rule and the optimiser of one run remember."""
    problem, streams = FORWARD[config.experiment], Streams()
    network, loss, optimiser = (
        problem.network(config.estimators([config])),
        problem.loss(),
        config.optimiser(1),
    )
    network.initialise(streams, config.dtype)
    rule = replace(config, num_dir=config.num_dir and 1).learning_rule(1)
    rule.begin(network, streams)
    rng, inputs = (
        np.random.default_rng(0),
        784 if config.experiment in ("forward", "forward-narrow") else 3072,
    )
    x, target = rng.random((1, 2, inputs)).astype(config.dtype), np.array([[0, 1]])
    step = Step(training=True)
    rule(network, loss, x, target, step)
    state = rule.saved()
    if isinstance(rule, ForwardGradient) and rule.directions.drawn_together:
        state = rule.directions.begin(
            ForwardPass(network, loss, step, streams, config.num_dir or 0), None
        )
    optimiser.update(network.parameters(), step)
    return _nbytes(state) + _nbytes(optimiser.saved(network.parameters()))


def _nbytes(state: Any) -> int:
    """Return the bytes of all arrays within a nested state."""
    arrays: dict[str, Any] = {}
    pack(state, "state", arrays)
    return sum(array.nbytes for array in arrays.values())
