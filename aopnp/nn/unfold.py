"""From images to rows of patches and back (im2col): a convolution becomes a matrix product.

    rows[(m, i, j), (a, b, c)] = x[m, i stride + a - padding, j stride + b - padding, c]

The images x [R, M, H, W, C] have their channels last; positions outside the image are zero. A
dense layer on the rows [R, M I J, A B C] is a convolution, and its output reshapes to
[R, M, I, J, P] without a transpose.
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
    """Return `size` as a pair (down, right) of integers of at least 1.

    Raises ValueError, which calls the size `name`, where that is impossible.
    """
    both = size
    if not isinstance(both, tuple):
        both = (both, both)
    if len(both) != 2 or not all(isinstance(n, int) and n >= 1 for n in both):
        raise ValueError(
            f"expected the {name} to be an integer of at least 1 or a pair of them, got {size!r}"
        )
    return both[0], both[1]


def image_size(x: Array) -> tuple[int, int]:
    """Return (H, W) of channels-last images x [R or 1, M, H, W, C].

    Raises ValueError where x has another number of axes.
    """
    if x.ndim != 5:
        raise ValueError(
            f"expected images [R or 1, M, H, W, C], got shape {x.shape}; "
            "put Unflatten(H, W, C) in front"
        )
    return x.shape[2], x.shape[3]


def positions(size: int, taps: int, stride: int, padding: int = 0) -> int:
    """Return how many positions a kernel of `taps` has along an axis of `size` pixels.

    Raises ValueError where the kernel does not fit.
    """
    if taps > size + 2 * padding:
        raise ValueError(
            f"expected a kernel that fits the image, got {taps} taps over {size} pixels with "
            f"padding {padding}; use a smaller kernel or more padding"
        )
    return (size + 2 * padding - taps) // stride + 1


@dataclass(frozen=True)
class Geometry:
    """The patches of an image: A x B pixels each, one at every `stride` pixels down and across.

    The image has a frame of `padding` zeros.
    """

    kernel: tuple[int, int]
    """(A, B): the size of a patch, down and across."""
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        pair(self.kernel, "kernel")
        if self.stride < 1 or self.padding < 0:
            raise ValueError(
                "expected a stride of at least 1 and a padding of at least 0, "
                f"got {self.stride} and {self.padding}"
            )

    def positions(self, H: int, W: int) -> tuple[int, int]:
        """Return the number of patches (I, J) down and across an image of H x W pixels.

        Raises ValueError where the kernel does not fit.
        """
        A, B = self.kernel
        stride, padding = self.stride, self.padding
        return positions(H, A, stride, padding), positions(W, B, stride, padding)


@functools.cache
def numbers(xp: ModuleType, *values: int) -> Array:
    """Return `values` as an int64 array of the array module xp.

    The array is made once, where the arrays of xp lie, and shared by all callers: kernels read it,
    nobody writes.
    """
    return xp.asarray(values, dtype="int64")


def unfold_images(x: Array, geometry: Geometry) -> Array:
    """Return the rows of patches [..., M I J, A B C] of images x [..., M, H, W, C]."""
    *leading, M, H, W, C = x.shape
    A, B = geometry.kernel
    I, J = geometry.positions(H, W)  # noqa: E741 - an axis
    xp = array_module(x)
    images = xp.ascontiguousarray(x).reshape(-1, M, H, W, C)
    places = numbers(xp, geometry.stride, geometry.padding)
    patches = unfold(images, places, I=I, J=J, A=A, B=B)
    return patches.reshape(*leading, M * I * J, A * B * C)


def fold_rows(rows: Array, geometry: Geometry, H: int, W: int) -> Array:
    """Return images [..., M, H, W, C]: the transpose of `unfold_images`.

    rows is [..., M I J, A B C]; each pixel is the sum of its copies in the rows.
    """
    *leading, MIJ, ABC = rows.shape
    A, B = geometry.kernel
    I, J = geometry.positions(H, W)  # noqa: E741 - an axis
    M, C = MIJ // (I * J), ABC // (A * B)
    xp = array_module(rows)
    patches = xp.ascontiguousarray(rows).reshape(-1, M, I, J, A, B, C)
    places = numbers(xp, geometry.stride, geometry.padding)
    images: Array = fold(patches, places, H=H, W=W)
    return images.reshape(*leading, M, H, W, C)


def row_squares(x: Array, geometry: Geometry) -> Array:
    """Return the squared norms of the rows of unfolded images, float64 [..., M, I, J].

    The images x [..., M, H, W, C] are not unfolded. The norms are a box filter of the
    channel-summed squares: each pixel is squared once, not once for each patch that contains it.
    """
    A, B = geometry.kernel
    I, J = geometry.positions(*x.shape[-3:-1])  # noqa: E741 - an axis
    stride, frame = geometry.stride, (geometry.padding, geometry.padding)
    xp = array_module(x)
    squares = xp.square(x, dtype=np.float64).sum(-1)
    squares = xp.pad(squares, [(0, 0)] * (x.ndim - 3) + [frame, frame])
    height, width = (I - 1) * stride + 1, (J - 1) * stride + 1
    columns = sum(squares[..., a : a + height : stride, :] for a in range(A))
    total: Array = sum(columns[..., b : b + width : stride] for b in range(B))
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
        if not needs_input:
            return None
        return fold_rows(g, self.geometry, *self.size)

    def tangent(self, u: Array) -> Array:
        return unfold_images(u, self.geometry)
