"""Initial values of layers: weights and biases, as they are drawn before training.

An initialiser is `init(generator, N, P, fan_out) -> float64 [N + 1, P]`: N rows of weights, then
the bias. N is the fan-in, which for a convolution is taps times channels; its fan-out is taps
times outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.random import Generator

from aopnp.arrays.backend import Array

Initialiser: TypeAlias = Callable[[Generator, int, int, int], Array]
"""`init(generator, N, P, fan_out)` returns weights and bias, float64 [N + 1, P], the bias last."""


def uniform_fan_in(generator: Generator, N: int, P: int, fan_out: int) -> Array:
    """Return weights and bias uniform in +-1/sqrt(N).

    (LeCun et al. 1998; the initial values of the Mem-AOP-GD paper, arXiv 2110.09164.)
    """
    bound = 1 / np.sqrt(N)
    return generator.uniform(-bound, bound, (N + 1, P))


def uniform_latent(generator: Generator, N: int, P: int, fan_out: int) -> Array:
    """Return soft weights of a binary layer uniform in [-1, 1], bias 0.

    The forward pass uses only their signs, so that any scale is as good as another.
    """
    return _with_bias(generator.uniform(-1, 1, (N, P)))


@dataclass(frozen=True)
class XavierUniform:
    """Weights uniform in +-gain sqrt(6 / (fan_in + fan_out)), bias 0.

    (Glorot & Bengio 2010, equation 16.)
    """

    gain: float = 1.0

    def __call__(self, generator: Generator, N: int, P: int, fan_out: int) -> Array:
        bound = self.gain * np.sqrt(6 / (N + fan_out))
        return _with_bias(generator.uniform(-bound, bound, (N, P)))


@dataclass(frozen=True)
class KaimingNormal:
    """Weights normal with standard deviation gain / sqrt(fan), bias 0.

    The gain sqrt(2) makes up for the half that a ReLU sets to zero. Mode "fan_in" keeps the
    variance of activations from layer to layer, "fan_out" that of gradients. (He et al. 2015,
    equations 10 and 14.)
    """

    mode: Literal["fan_in", "fan_out"] = "fan_out"
    gain: float = 2**0.5

    def __post_init__(self) -> None:
        if self.mode not in ("fan_in", "fan_out"):
            raise ValueError(f'expected mode "fan_in" or "fan_out", got {self.mode!r}')

    def __call__(self, generator: Generator, N: int, P: int, fan_out: int) -> Array:
        fan = fan_out
        if self.mode == "fan_in":
            fan = N
        scale = self.gain / np.sqrt(fan)
        return _with_bias(generator.normal(scale=scale, size=(N, P)))


def _with_bias(weights: Array) -> Array:
    """Return weights [N, P] and, below them, a bias of zeros."""
    bias = np.zeros_like(weights[:1])
    return np.concatenate([weights, bias])
