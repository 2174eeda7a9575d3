"""Batch normalisation over every axis but the replicas and the last one, the features.

forward   Z = (X - mean) / sqrt(variance + eps)      Y = gamma Z + beta
backward  dgamma = sum of G Z      dbeta = sum of G      dX = J (gamma G)
tangent   dY = gamma J U + gamma' Z + beta'
Jacobian  J V = (V - mean(V) - Z mean(Z V)) / sqrt(variance + eps)      in training
          J V = V / sqrt(variance + eps)                                in evaluation

(Ioffe & Szegedy 2015.) Training takes the mean and the (biased) variance of the batch, which
depend on X; evaluation takes their running averages. J is symmetric, so one product serves both
passes. Rows and positions are folded into one axis: means are over axis -2.
"""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.arrays.streams import Streams
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer, Parameter


class BatchNorm(Layer):
    """`gamma (x - mean) / sqrt(variance + eps) + beta` of x [R or 1, M, ..., N].

    gamma, beta and the statistics are [R, N]. A forward pass in training, and nothing else, moves
    the running averages: by `momentum` towards the mean and the unbiased variance of the batch.
    """

    gamma: Parameter
    beta: Parameter

    def __init__(self, features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        if features < 1 or not 0 <= momentum <= 1 or not eps > 0:
            raise ValueError(
                "expected at least one feature, a momentum in [0, 1] and eps > 0, "
                f"got BatchNorm({features}, {momentum}, {eps})"
            )
        self.features = features
        self.momentum = momentum
        self.eps = eps

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        zeros = np.zeros((streams.replicas, self.features), dtype)
        self.gamma = Parameter(to_device(zeros + 1, device))
        self.beta = Parameter(to_device(zeros.copy(), device))
        self.mean = to_device(zeros, device)
        self.variance = to_device(zeros + 1, device)

    def parameters(self) -> list[Parameter]:
        if not hasattr(self, "gamma"):
            raise ValueError(
                f"expected an initialised {self}, got one without gamma; "
                "call initialise(streams) first"
            )
        return [self.gamma, self.beta]

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        gamma, beta = self.parameters()
        self._check(x, step)
        self.shape = x.shape[1:]
        self.of_batch = step.training
        rows = self._fold(x)
        if step.training:
            # The sums are float64: a float32 sum of many rows loses a variance that is small
            # compared with the mean.
            mean = rows.mean(-2, dtype=np.float64).astype(x.dtype)
            centred = rows - mean[:, None]
            variance = (centred * centred).mean(-2, dtype=np.float64).astype(x.dtype)
            self._advance(mean, variance, rows.shape[-2])
        else:
            variance = self.variance
            centred = rows - self.mean[:, None]
        self.scale = 1 / array_module(x).sqrt(variance + self.eps)[:, None]
        self.z = centred * self.scale
        return self._unfold(gamma.value[:, None] * self.z + beta.value[:, None])

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        g = self._fold(g)
        self.gamma.grad = (g * self.z).sum(-2)
        self.beta.grad = g.sum(-2)
        if not needs_input:
            return None
        dx = self._jacobian_product(self.gamma.value[:, None] * g)
        return self._unfold(dx)

    def tangent(self, u: Any) -> Array:
        if u is None:
            out = array_module(self.z).zeros_like(self.z)
        else:
            out = self.gamma.value[:, None] * self._jacobian_product(self._fold(u))
        if self.gamma.tangent is not None:
            out = out + self.gamma.tangent[..., None, :] * self.z
        if self.beta.tangent is not None:
            out = out + self.beta.tangent[..., None, :]
        return self._unfold(out)

    def saved(self) -> dict[str, Any]:
        return {"mean": self.mean, "variance": self.variance}

    def restore(self, saved: dict[str, Any]) -> None:
        xp = array_module(self.mean)
        self.mean = xp.asarray(saved["mean"])
        self.variance = xp.asarray(saved["variance"])

    def __repr__(self) -> str:
        return f"BatchNorm({self.features})"

    def _jacobian_product(self, v: Array) -> Array:
        """Return J v for rows v [..., R, rows, N]."""
        if self.of_batch:
            correlation = (self.z * v).mean(-2, keepdims=True)
            v = v - v.mean(-2, keepdims=True) - self.z * correlation
        return v * self.scale

    def _advance(self, mean: Array, variance: Array, n: int) -> None:
        """Move the running averages towards the statistics of n rows [R, N]."""
        keep, momentum = 1 - self.momentum, self.momentum
        self.mean = keep * self.mean + momentum * mean
        # The factor n / (n - 1) makes the variance of the batch unbiased.
        self.variance = keep * self.variance + momentum * n / (n - 1) * variance

    def _fold(self, v: Array) -> Array:
        """Return [..., R, M, ..., N] as [..., R, rows, N]."""
        return v.reshape(*v.shape[: v.ndim - len(self.shape)], -1, self.features)

    def _unfold(self, rows: Array) -> Array:
        """Return [..., R, rows, N] as [..., R, M, ..., N]."""
        return rows.reshape(*rows.shape[:-2], *self.shape)

    def _check(self, x: Array, step: Step) -> None:
        """Raise ValueError or TypeError for inputs that cannot be normalised."""
        R, dtype = self.gamma.value.shape[0], self.gamma.value.dtype
        if x.ndim < 3 or x.shape[-1] != self.features or len(x) not in (1, R):
            raise ValueError(
                f"{self}: expected inputs [R or 1, M, ..., N] with R = {R} and "
                f"N = {self.features}, got shape {x.shape}"
            )
        if x.dtype != dtype:
            raise TypeError(
                f"{self}: expected inputs of dtype {dtype}, got {x.dtype}; "
                "cast one of them with astype"
            )
        if step.training and x[0].size == self.features:
            raise ValueError(
                f"{self}: expected at least two rows or positions to take a variance of, "
                f"got shape {x.shape}; enlarge the batch"
            )
