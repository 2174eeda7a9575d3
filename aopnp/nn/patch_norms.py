"""Row ranking without im2col: the norm of a patch is a box filter of the image's channel-summed squares.

    |row (m, i, j)|^2 = sum over taps (a, b) of s[m, i stride + a - padding, j stride + b - padding],  s = sum_c x_c^2

Each pixel is squared once instead of once for every patch that sees it, A B / stride^2 times fewer flops.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.log_norms import FLOOR
from aopnp.nn.unfold import Geometry, row_squares


class SeesImages(Protocol):
    """A layer that has just seen images."""

    geometry: Geometry
    image: Array
    """The last forward's [R or 1, M, H, W, C]."""


@dataclass(frozen=True)
class PatchNorms:
    """`log |patch_i| |g_i|`, the score of a layer's rows of patches, from its image."""

    layer: SeesImages

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n] of b [R, n, P] and the n = M I J patches of the layer's image."""
        xp = array_module(a, b)
        patches = row_squares(self.layer.image, self.layer.geometry).reshape(len(a), -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_squares = xp.log(patches) + xp.log(xp.square(b, dtype=np.float64).sum(-1))
            return xp.maximum(log_squares / 2, FLOOR)

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """A multiply-add for each number of the image and of b, an addition for each tap of each patch (twice 1D)."""
        return 2 * self.layer.image[0].size + n * sum(self.layer.geometry.kernel) + 2 * n * B
