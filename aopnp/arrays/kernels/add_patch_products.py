"""Add the outer products of all patches of kept images to a convolution's weights, without im2col.

    w[p, a, b, c] <- w + scale sum over k < count, i, j of
                         g[k, i, j, p] x[k, i s + a - padding, j s + b - padding, c]

geometry = (s, padding), int64: the stride s and the width of the frame of zeros around each image.

im2col copies an image A B times. Here only B of these copies are made: strips[h, k, j] holds the
B C numbers of row h of image k that the patch at column j covers. The rows h are the outermost axis
of strips, so row a of all patches reads one block of strips, shifted by a. The sum is A products
over i, k and j, without the rows that lie in the frame:

    w[:, a] <- w[:, a]
               + scale g[first : last]^T strips[first + a - padding : last + a - padding]    (s = 1)

On a GPU the kernel runs its reference, which unfolds the images and is one batched cuBLAS product.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.unfold import unfold

BLOCK = 2**19
"""Largest size of the strips that are multiplied at once, so that they stay in the cache.

`_images_at_once` names the exception.
"""


def reference(w: Array, x: Array, g: Array, geometry: Array, scale: Array, count: Array) -> None:
    """Update w [R, P, A, B, C] in place.

    x [R or 1, K, H, W, C], g [R, K, I, J, P], geometry [2], scale [R or 1], count [R].
    """
    xp = array_module(w, x, g)
    R, P, A, B, C = w.shape
    K, I, J = g.shape[1:4]  # noqa: E741 - an axis
    in_use = xp.arange(K) < count[:, None]
    kept = xp.where(in_use[..., None, None, None], g, g.dtype.type(0))
    patches = unfold(x, geometry, I=I, J=J, A=A, B=B)
    patches = patches.reshape(len(x), K * I * J, A * B * C)
    products = kept.reshape(R, K * I * J, P).swapaxes(-1, -2) @ patches
    factor = scale[:, None, None].astype(w.dtype)
    w += (factor * products).reshape(w.shape)


def _cpu(w: Array, x: Array, g: Array, geometry: Array, scale: Array, count: Array) -> None:
    # Replicas take turns, each with its own images: the sums have the same rounding as those of a
    # replica that trains alone.
    stride, padding = (int(number) for number in geometry)
    at_once = _images_at_once(w, x, g)
    for r in range(len(w)):
        factor = w.dtype.type(scale[r % len(scale)])
        for k in range(0, count[r], at_once):
            block = slice(k, min(k + at_once, count[r]))
            images = x[r % len(x), block]
            _add_block(w[r], images, g[r, block], stride, padding, factor)


def _images_at_once(w: Array, x: Array, g: Array) -> int:
    """Return the number of images in a block.

    Each block takes a pass over the weights. Where the weights are larger than BLOCK, fewer passes
    are worth more than strips that stay in the cache: the strips may then be as large as the
    weights.
    """
    B, C = w.shape[3:]
    image = x.shape[2] * g.shape[3] * B * C
    return max(1, max(BLOCK, w[0].size) // image)


def _add_block(w: Array, x: Array, g: Array, stride: int, padding: int, scale: Array) -> None:
    """Update w [P, A, B, C] by all images x [K, H, W, C] and g [K, I, J, P]."""
    P, A, B, C = w.shape
    H = x.shape[1]
    I, J = g.shape[1:3]  # noqa: E741 - an axis
    by_row = w.reshape(P, A, B * C)
    rows = strips(x, stride, padding, J, B)
    g = np.ascontiguousarray(g.swapaxes(0, 1))
    for a in range(A):
        # The positions i at which row a of the patch lies in the image, not in the frame.
        first = max(0, -((a - padding) // stride))
        last = min(I, (H - 1 + padding - a) // stride + 1)
        last = max(first, last)
        d, q = divmod(first * stride + a - padding, stride)
        covered = rows[q, d : d + last - first].reshape(-1, B * C)
        gradients = g[first:last].reshape(-1, P)
        by_row[:, a] += scale * (gradients.T @ covered)


def strips(x: Array, stride: int, padding: int, J: int, B: int) -> Array:
    """Return the numbers that patches at J columns cover in each row of the images x [K, H, W, C].

    The result is [s, D, K, J, B C], zero beyond the image. Row h = d s + q of the images is
    strips[q, d]: the rows that one row of the patches covers are s apart, and so they lie together.
    """
    K, H, W, C = x.shape
    D = -(-H // stride)
    V = (J - 1) * stride + B
    framed = np.zeros((stride, D, K, V, C), x.dtype)
    image = framed[:, :, :, padding : padding + W]
    for q in range(stride):
        rows = x[:, q::stride, : image.shape[3]]
        image[q, : rows.shape[1]] = rows.swapaxes(0, 1)
    # Windows that overlap: the one at column j begins at pixel j s of its row.
    *outer, pixel, number = framed.strides
    windows = np.ndarray(
        (stride, D, K, J, B * C),
        x.dtype,
        framed,
        strides=(*outer, stride * pixel, number),
    )
    return windows.copy()


add_patch_products = Kernel(
    "add_patch_products",
    "T w[R,P,A,B,C], T x[R|1,K,H,W,C], T g[R,K,I,J,P], int64 geometry[G],"
    " host float64 scale[R|1], int64 count[R]",
    reference,
    cpu=_cpu,
    jit=False,
)
