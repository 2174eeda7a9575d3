"""Initial values of direct feedback: `init(generator, K, D) -> float64 [K, D]` for K errors and D activations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from aopnp.arrays.backend import Array

FeedbackInit: TypeAlias = Callable[[np.random.Generator, int, int], Array]


def normal(generator: np.random.Generator, K: int, D: int) -> Array:
    """Return values from N(0, 1/K): an error of length 1 gives every activation a signal of variance 1/K."""
    return generator.normal(scale=K**-0.5, size=(K, D))


def kaiming_uniform(generator: np.random.Generator, K: int, D: int) -> Array:
    """Return values uniform in +-sqrt(6 / D) (He et al. 2015; the CIFAR-10 network of Webster, Choi and Ahn)."""
    return generator.uniform(-((6 / D) ** 0.5), (6 / D) ** 0.5, (K, D))


def zeros(generator: np.random.Generator, K: int, D: int) -> Array:
    """Return zeros: for feedback that is learned."""
    return np.zeros((K, D))


@dataclass(frozen=True)
class Uniform:
    """Uniform in [low, high).

    `Uniform(0, 1e-6)` is the DFA baseline of Webster, Choi and Ahn's AlexNet: all positive and tiny, it hardly learns.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"expected finite ends, low below high, got {self}")

    def __call__(self, generator: np.random.Generator, K: int, D: int) -> Array:
        return generator.uniform(self.low, self.high, (K, D))
