"""Initial values: what a layer draws before training.

An initialiser is `init(generator, N, P, fan_out) -> float64 [N + 1, P]`: N rows of weights, then the bias. N is the
fan-in, which for a convolution is taps times channels; its fan-out is taps times outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from aopnp.arrays.backend import Array

Initialiser: TypeAlias = Callable[[np.random.Generator, int, int, int], Array]
"""`init(generator, N, P, fan_out)` returns weights and bias, float64 [N + 1, P], the bias last."""


def uniform_fan_in(generator: np.random.Generator, N: int, P: int, fan_out: int) -> Array:
    """Return values uniform in +-1/sqrt(N), the bias too (LeCun et al. 1998; the paper's initial values)."""
    bound = 1 / np.sqrt(N)
    return generator.uniform(-bound, bound, (N + 1, P))


def uniform_latent(generator: np.random.Generator, N: int, P: int, fan_out: int) -> Array:
    """Return soft weights uniform in [-1, 1], bias 0: the scale of a weight that only its sign is used of is free."""
    return _with_bias(generator.uniform(-1, 1, (N, P)))


@dataclass(frozen=True)
class XavierUniform:
    """Weights uniform in +-gain sqrt(6 / (fan_in + fan_out)), bias 0 (Glorot & Bengio 2010, equation 16)."""

    gain: float = 1.0

    def __call__(self, generator: np.random.Generator, N: int, P: int, fan_out: int) -> Array:
        bound = self.gain * np.sqrt(6 / (N + fan_out))
        return _with_bias(generator.uniform(-bound, bound, (N, P)))


@dataclass(frozen=True)
class KaimingNormal:
    """Weights normal with standard deviation gain / sqrt(fan), bias 0 (He et al. 2015, equations 10 and 14).

    The gain sqrt(2) makes up for the half that a ReLU sets to zero. Mode "fan_in" keeps the variance of activations
    from layer to layer, "fan_out" that of gradients.
    """

    mode: Literal["fan_in", "fan_out"] = "fan_out"
    gain: float = 2**0.5

    def __post_init__(self) -> None:
        if self.mode not in ("fan_in", "fan_out"):
            raise ValueError(f'expected mode "fan_in" or "fan_out", got {self.mode!r}')

    def __call__(self, generator: np.random.Generator, N: int, P: int, fan_out: int) -> Array:
        fan = N if self.mode == "fan_in" else fan_out
        return _with_bias(generator.normal(scale=self.gain / np.sqrt(fan), size=(N, P)))


def _with_bias(weights: Array) -> Array:
    return np.concatenate([weights, np.zeros_like(weights[:1])])
