"""Row ranking without im2col: the norms of patches are a box filter of the image.

    |row (m, i, j)|^2 = sum over taps (a, b) of s[m, i stride + a - padding, j stride + b - padding]
    s[m, h, w]        = sum over channels c of x[m, h, w, c]^2

Each pixel is squared once instead of once for every patch that contains it: A B / stride^2 times
fewer flops.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.log_norms import FLOOR
from aopnp.nn.unfold import Geometry, row_squares


class SeesImages(Protocol):
    """A layer on images, such as Conv2d, after a forward pass."""

    geometry: Geometry
    image: Array
    """The images of the last forward pass [R or 1, M, H, W, C]."""


@dataclass(frozen=True)
class PatchNorms:
    """`log |patch_i| |g_i|`: the score of a layer's rows of patches, computed from its images."""

    layer: SeesImages

    def __call__(self, a: Array, b: Array, noise: Array) -> Array:
        """Return log w float64 [R, n] for b [R, n, P] and the n = M I J patches of the images."""
        xp = array_module(a, b)
        squares = row_squares(self.layer.image, self.layer.geometry)
        patches = squares.reshape(len(a), -1)
        gradients = xp.square(b, dtype=np.float64).sum(-1)
        # The logarithm of a row of zeros is -inf, which FLOOR replaces.
        with np.errstate(divide="ignore", invalid="ignore"):
            log_squares = xp.log(patches) + xp.log(gradients)
            return xp.maximum(log_squares / 2, FLOOR)

    def flops(self, n: int, A: float | Array, B: int) -> float | Array:
        """Return the flops of n scores: those of the squares and those of the box filter.

        A square is a multiply-add for each number of the image and of b. The box filter runs along
        one axis after the other: an addition for each of the A + B taps of each patch.
        """
        image = 2 * self.layer.image[0].size
        box = n * sum(self.layer.geometry.kernel)
        return image + box + 2 * n * B
