"""A convolution's weight gradient in factored form: pairs of an image and of the gradient of its output.

    sum over k < count of unfold(image_k)^T g_k

A pair stands for the outer products of all I J patches of its image, which are multiplied out without being unfolded.
"""

from dataclasses import dataclass

import numpy as np

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.arrays.kernels import add_patch_products
from aopnp.estimators.outer_products import OuterProducts
from aopnp.nn.unfold import Geometry, numbers


@dataclass(frozen=True)
class PatchProducts(OuterProducts):
    """a: images [R or 1, K, H, W, C], b: gradients [R, K, I, J, P], count [R] of pairs (zero beyond it)."""

    geometry: Geometry

    def dense(self) -> Array:
        """Return the sum as a matrix [R, A B C, P]."""
        (A, B), C, (R, *_, P) = self.geometry.kernel, self.a.shape[-1], self.b.shape
        out: Array = array_module(self.b).zeros((R, P, A * B * C), self.b.dtype).swapaxes(-1, -2)
        self.add_to(out, 1.0)
        return out

    def add_to(self, w: Array, scale: float | Array) -> None:
        """w [R, A B C, P] += scale [R] (on the host) times this sum, in place."""
        xp, transposed, geometry = array_module(w), w.swapaxes(-1, -2), self.geometry
        if not transposed.flags.c_contiguous:  # not as a layer stores its weights
            w += replica_factors(scale, w) * self.dense()
            return
        filters = transposed.reshape(*transposed.shape[:2], *geometry.kernel, -1)
        scales = np.array(scale, np.float64, ndmin=1)
        places = numbers(xp, geometry.stride, geometry.padding)
        add_patch_products(filters, self.a, self.b, places, scales, self.count)
