"""Add to a convolution's weights what kept images and their output gradients stand for, without im2col.

    w[p, a, b, c] <- w + scale sum over k < count, i, j of g[k, i, j, p] x[k, i s + a - padding, j s + b - padding, c]

geometry = (s, padding), int64: the stride s, and the frame of zeros. Of im2col's A B copies of an image only B are
made: strips[h, k, j] holds the B C numbers that the patch at column j sees of row h of image k. With the rows h
outermost, what tap a sees in all patches is one block of strips, shifted by a: A products over i, k and j, less the
rows that lie in the frame,

    w[:, a] <- w[:, a] + scale g[first : last]^T strips[first + a - padding : last + a - padding]        (s = 1)

On a GPU the reference is the spelling: it unfolds, and is one batched cuBLAS product.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.unfold import unfold

BLOCK = 2**19
"""Numbers in the strips that are multiplied at once, at most: they stay in the cache (but see `_images_at_once`)."""


def reference(w: Array, x: Array, g: Array, geometry: Array, scale: Array, count: Array) -> None:
    """Update w [R, P, A, B, C] in place by x [R or 1, K, H, W, C], g [R, K, I, J, P], scale [R or 1], count [R]."""
    xp, (R, P, A, B, C), (K, I, J) = array_module(w, x, g), w.shape, g.shape[1:4]  # noqa: E741 - an axis
    kept = xp.where((xp.arange(K) < count[:, None])[..., None, None, None], g, g.dtype.type(0))
    patches = unfold(x, geometry, I=I, J=J, A=A, B=B).reshape(len(x), K * I * J, A * B * C)
    products = kept.reshape(R, K * I * J, P).swapaxes(-1, -2) @ patches
    w += (scale[:, None, None].astype(w.dtype) * products).reshape(w.shape)


def _cpu(w: Array, x: Array, g: Array, geometry: Array, scale: Array, count: Array) -> None:
    # One replica after the other, on its own images, as it would be alone: the same sums, rounded alike.
    stride, padding = (int(number) for number in geometry)
    at_once = _images_at_once(w, x, g)
    for r in range(len(w)):
        for k in range(0, count[r], at_once):
            block = slice(k, min(k + at_once, count[r]))
            _add_block(
                w[r],
                x[r % len(x), block],
                g[r, block],
                stride,
                padding,
                w.dtype.type(scale[r % len(scale)]),
            )


def _images_at_once(w: Array, x: Array, g: Array) -> int:
    """Return how many images fit a block; where all weights are more than that, a pass over them is worth more."""
    B, C = w.shape[3:]
    return max(1, max(BLOCK, w[0].size) // (x.shape[2] * g.shape[3] * B * C))


def _add_block(w: Array, x: Array, g: Array, stride: int, padding: int, scale: Array) -> None:
    """Update w [P, A, B, C] by all images x [K, H, W, C] and g [K, I, J, P]."""
    (P, A, B, C), H, (_, I, J, _) = w.shape, x.shape[1], g.shape  # noqa: E741 - an axis
    wide, rows = w.reshape(P, A, B * C), strips(x, stride, padding, J, B)
    g = np.ascontiguousarray(g.swapaxes(0, 1))
    for a in range(A):
        first = max(
            0, -((a - padding) // stride)
        )  # the positions i whose row a is not in the frame
        last = max(first, min(I, (H - 1 + padding - a) // stride + 1))
        d, q = divmod(first * stride + a - padding, stride)
        seen = rows[q, d : d + last - first].reshape(-1, B * C)
        wide[:, a] += scale * (g[first:last].reshape(-1, P).T @ seen)


def strips(x: Array, stride: int, padding: int, J: int, B: int) -> Array:
    """Return what patches at J columns see of each row of x [K, H, W, C]: [s, D, K, J, B C], zero beyond the image.

    Row h = d s + q is strips[q, d]: what a tap sees are rows s apart, and these lie together.
    """
    K, H, W, C = x.shape
    D, V = -(-H // stride), (J - 1) * stride + B
    framed = np.zeros((stride, D, K, V, C), x.dtype)
    image = framed[:, :, :, padding : padding + W]
    for q in range(stride):
        image[q, : len(range(q, H, stride))] = x[:, q::stride, : image.shape[3]].swapaxes(0, 1)
    *outer, pixel, number = framed.strides
    # Overlapping windows: the one at column j begins at pixel j s of its row.
    windows = np.ndarray(
        (stride, D, K, J, B * C), x.dtype, framed, strides=(*outer, stride * pixel, number)
    )
    return windows.copy()


add_patch_products = Kernel(
    "add_patch_products",
    "T w[R,P,A,B,C], T x[R|1,K,H,W,C], T g[R,K,I,J,P], int64 geometry[G], host float64 scale[R|1], int64 count[R]",
    reference,
    cpu=_cpu,
    jit=False,
)
