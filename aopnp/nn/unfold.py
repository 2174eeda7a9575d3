"""From images to rows of patches and back: what turns a convolution into a matrix product (im2col).

    rows[(m, i, j), (a, b, c)] = x[m, i stride + a - padding, j stride + b - padding, c]

for channels-last images x [R, M, H, W, C]; positions outside the image are zero. A dense layer on the rows
[R, M I J, A B C] is a convolution, and its output reshapes to [R, M, I, J, P] without a transpose.
"""

import functools
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import fold, unfold
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer


def pair(size: int | tuple[int, int], name: str) -> tuple[int, int]:
    """Return `size` as a pair (down, right) of integers of at least 1; `name` is what the error calls it."""
    both = size if isinstance(size, tuple) else (size, size)
    if len(both) != 2 or not all(isinstance(n, int) and n >= 1 for n in both):
        raise ValueError(
            f"expected the {name} to be an integer of at least 1 or a pair of them, got {size!r}"
        )
    return both[0], both[1]


def image_size(x: Array) -> tuple[int, int]:
    """Return (H, W) of channels-last images x [R or 1, M, H, W, C]; ValueError where x is none."""
    if x.ndim != 5:
        raise ValueError(
            f"expected images [R or 1, M, H, W, C], got shape {x.shape}; put Unflatten(H, W, C) in front"
        )
    return x.shape[2], x.shape[3]


def positions(size: int, taps: int, stride: int, padding: int = 0) -> int:
    """Return how many positions a kernel of `taps` has along an axis of `size`; ValueError where it does not fit."""
    if taps > size + 2 * padding:
        raise ValueError(
            f"expected a kernel that fits the image, got {taps} taps over {size} pixels with padding {padding}; "
            "use a smaller kernel or more padding"
        )
    return (size + 2 * padding - taps) // stride + 1


@dataclass(frozen=True)
class Geometry:
    """Where patches lie: kernels of A x B taps, every `stride` pixels, in an image with a frame of `padding` zeros."""

    kernel: tuple[int, int]
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        pair(self.kernel, "kernel")
        if self.stride < 1 or self.padding < 0:
            raise ValueError(
                f"expected a stride of at least 1 and a padding of at least 0, got {self.stride} and {self.padding}"
            )

    def positions(self, H: int, W: int) -> tuple[int, int]:
        """Return the number of patches (I, J) of an image H x W; ValueError where the kernel does not fit."""
        (A, B), stride, padding = self.kernel, self.stride, self.padding
        return positions(H, A, stride, padding), positions(W, B, stride, padding)


@functools.cache
def numbers(xp: ModuleType, *values: int) -> Array:
    """Return `values` as int64 where the arrays of `xp` lie, moved there once: kernels read them, nobody writes."""
    return xp.asarray(values, dtype="int64")


def unfold_images(x: Array, geometry: Geometry) -> Array:
    """Return the rows of patches [..., M I J, A B C] of images x [..., M, H, W, C]."""
    *leading, M, H, W, C = x.shape
    xp, (I, J), (A, B) = array_module(x), geometry.positions(H, W), geometry.kernel  # noqa: E741 - an axis
    patches = unfold(
        xp.ascontiguousarray(x).reshape(-1, M, H, W, C),
        numbers(xp, geometry.stride, geometry.padding),
        **{"I": I, "J": J, "A": A, "B": B},
    )
    return patches.reshape(*leading, M * I * J, A * B * C)


def fold_rows(rows: Array, geometry: Geometry, H: int, W: int) -> Array:
    """Return images [..., M, H, W, C]: rows of patches [..., M I J, A B C] added up where they came from."""
    *leading, MIJ, ABC = rows.shape
    xp, (I, J), (A, B) = array_module(rows), geometry.positions(H, W), geometry.kernel  # noqa: E741 - an axis
    M, C = MIJ // (I * J), ABC // (A * B)
    patches = xp.ascontiguousarray(rows).reshape(-1, M, I, J, A, B, C)
    images: Array = fold(patches, numbers(xp, geometry.stride, geometry.padding), H=H, W=W)
    return images.reshape(*leading, M, H, W, C)


def row_squares(x: Array, geometry: Geometry) -> Array:
    """Return the squared norms of the rows of unfolded images, float64 [..., M, I, J], without unfolding them.

    A box filter of the channel-summed squares: each pixel is squared once, not once for each patch that sees it.
    """
    (I, J), (A, B), stride = geometry.positions(*x.shape[-3:-1]), geometry.kernel, geometry.stride  # noqa: E741
    xp, frame = array_module(x), (geometry.padding, geometry.padding)
    squares = xp.pad(
        xp.square(x, dtype=np.float64).sum(-1), [(0, 0)] * (x.ndim - 3) + [frame, frame]
    )
    tall = sum(squares[..., a : a + (I - 1) * stride + 1 : stride, :] for a in range(A))
    total: Array = sum(tall[..., b : b + (J - 1) * stride + 1 : stride] for b in range(B))
    return total


class Unfold(Layer):
    """Images [R, M, H, W, C] to rows of patches [R, M I J, A B C]; its adjoint folds them."""

    def __init__(self, kernel: int | tuple[int, int], stride: int = 1, padding: int = 0) -> None:
        self.geometry = Geometry(pair(kernel, "kernel"), stride, padding)

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.size = image_size(x)
        return unfold_images(x, self.geometry)

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        return fold_rows(g, self.geometry, *self.size) if needs_input else None

    def tangent(self, u: Array) -> Array:
        return unfold_images(u, self.geometry)
