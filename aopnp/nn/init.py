"""Initial values: what a layer draws before training."""

import numpy as np

from aopnp.backend import Array


def uniform_fan_in(generator: np.random.Generator, *shape: int, fan_in: int) -> Array:
    """Return values uniform in +-1/sqrt(fan_in), float64 of `shape` (LeCun et al. 1998; the paper's initial values)."""
    bound = 1 / np.sqrt(fan_in)
    return generator.uniform(-bound, bound, shape)
