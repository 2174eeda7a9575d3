"""A convolution's weight gradient in factored form: pairs of an image and its output's gradient.

    sum over k < count of unfold(image_k)^T g_k

A pair represents the outer products of all I J patches of its image. The sum is multiplied out
without unfolding the images.
"""

from dataclasses import dataclass

import numpy as np

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.arrays.kernels import add_patch_products
from aopnp.estimators.outer_products import OuterProducts
from aopnp.nn.unfold import Geometry, numbers


@dataclass(frozen=True)
class PatchProducts(OuterProducts):
    """A sum over pairs of images and gradients.

    a: images [R or 1, K, H, W, C], b: gradients [R, K, I, J, P], count: number of pairs [R]. Pairs
    beyond the count are zero.
    """

    geometry: Geometry

    def dense(self) -> Array:
        """Return the sum as a matrix [R, A B C, P]."""
        A, B = self.geometry.kernel
        C = self.a.shape[-1]
        R, *_, P = self.b.shape
        xp = array_module(self.b)
        out: Array = xp.zeros((R, P, A * B * C), self.b.dtype).swapaxes(-1, -2)
        self.add_to(out, 1.0)
        return out

    def add_to(self, w: Array, scale: float | Array) -> None:
        """w [R, A B C, P] += scale [R] (on the host) times this sum, in place."""
        xp = array_module(w)
        geometry = self.geometry
        transposed = w.swapaxes(-1, -2)
        # A layer stores its weights as [R, P, A B C]. In any other order the kernel cannot add.
        if not transposed.flags.c_contiguous:
            w += replica_factors(scale, w) * self.dense()
            return
        filters = transposed.reshape(*transposed.shape[:2], *geometry.kernel, -1)
        scales = np.array(scale, np.float64, ndmin=1)
        places = numbers(xp, geometry.stride, geometry.padding)
        add_patch_products(filters, self.a, self.b, places, scales, self.count)
