"""Directions of one length: v = sqrt(n) r / |r|, r ~ N(0, I), uniform on the sphere of all parameters.

Unbiased, E |estimate - g|^2 = (n - 1) / m |g|^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import for_all
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents


@dataclass(frozen=True)
class Sphere(Strategy):
    """`|v|^2 = n`."""

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        r = for_all("gaussian", forward_pass, directions)
        squares: Any = sum((v * v).sum(tuple(range(2, v.ndim)), dtype=float) for v in r)
        stretch = (forward_pass.n / squares) ** 0.5
        return [v * stretch.reshape(*v.shape[:2], *(1,) * (v.ndim - 2)).astype(v.dtype) for v in r]

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        return forward_pass.xp.full(len(gradient[0]), (forward_pass.n - 1) / forward_pass.num_dir)
