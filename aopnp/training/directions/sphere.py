"""Directions of one length: v = sqrt(n) r / |r| with r ~ N(0, I), uniform on a sphere.

    E |estimate - g|^2 = (n - 1) / m |g|^2        unbiased

The sphere lies in the space of all n entries of the parameters.
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
        squares: Any = 0
        for part in r:
            axes = tuple(range(2, part.ndim))
            squares = squares + (part * part).sum(axes, dtype=float)
        stretch = (forward_pass.n / squares) ** 0.5
        v = []
        for part in r:
            axes = (1,) * (part.ndim - 2)
            factor = stretch.reshape(*part.shape[:2], *axes).astype(part.dtype)
            v.append(part * factor)
        return v

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        n, m = forward_pass.n, forward_pass.num_dir
        return forward_pass.xp.full(len(gradient[0]), (n - 1) / m)
