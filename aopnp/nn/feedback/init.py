"""Initial values of direct feedback.

They are `init(generator, K, D) -> float64 [K, D]` for K errors and D activations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator

from aopnp.arrays.backend import Array

FeedbackInit: TypeAlias = Callable[[Generator, int, int], Array]
"""`init(generator, K, D)` returns B, float64 [K, D]."""


def normal(generator: Generator, K: int, D: int) -> Array:
    """Return values from N(0, 1/K).

    An error of length 1 gives every activation a signal of variance 1/K.
    """
    return generator.normal(scale=K**-0.5, size=(K, D))


def kaiming_uniform(generator: Generator, K: int, D: int) -> Array:
    """Return values uniform in +-sqrt(6 / D) (He et al. 2015).

    The CIFAR-10 network of Webster, Choi and Ahn has them.
    """
    bound = (6 / D) ** 0.5
    return generator.uniform(-bound, bound, (K, D))


def zeros(generator: Generator, K: int, D: int) -> Array:
    """Return zeros, for feedback that is learned."""
    return np.zeros((K, D))


@dataclass(frozen=True)
class Uniform:
    """Values uniform in [low, high).

    `Uniform(0, 1e-6)` is the DFA baseline of Webster, Choi and Ahn's AlexNet: all values are
    positive and tiny, and the network hardly learns.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"expected finite ends, low below high, got {self}")

    def __call__(self, generator: Generator, K: int, D: int) -> Array:
        return generator.uniform(self.low, self.high, (K, D))
