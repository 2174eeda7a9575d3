"""Pooling of channels-last images [R, M, H, W, C]: one number for each window and channel."""

from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import max_pool, scatter_pixels
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer
from aopnp.nn.unfold import image_size, numbers, pair, positions


class MaxPool2d(Layer):
    """The largest value of each window.

    Of equal values the first one counts, row by row, and NaN counts as larger than all numbers. The
    derivative is that of a map that picks these pixels. `stride` is the kernel's size by default.
    """

    def __init__(
        self, kernel: int | tuple[int, int], stride: int | tuple[int, int] | None = None
    ) -> None:
        self.kernel = self.stride = pair(kernel, "kernel")
        if stride is not None:
            self.stride = pair(stride, "stride")

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.size = image_size(x)
        I, J = map(positions, self.size, self.kernel, self.stride)  # noqa: E741 - an axis
        xp = array_module(x)
        window = numbers(xp, *self.kernel, *self.stride)
        y, self.pixels = max_pool(xp.ascontiguousarray(x), window, I=I, J=J)
        return y

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        H, W = self.size
        g = array_module(g).ascontiguousarray(g)
        return scatter_pixels(g, self.pixels, H=H, W=W)

    def tangent(self, u: Array) -> Array:
        *leading, H, W, C = u.shape
        _, M, I, J, _ = self.pixels.shape  # noqa: E741 - an axis
        ones = (1,) * (u.ndim - 5)
        pixels = self.pixels.reshape(*ones, -1, M, I * J, C)
        flat = u.reshape(*leading, H * W, C)
        picked = array_module(u).take_along_axis(flat, pixels, -2)
        return picked.reshape(*picked.shape[:-2], I, J, C)


class AveragePool2d(Layer):
    """The mean of each window, computed as a sum over the A B taps of the kernel.

    `stride` is the kernel's size by default.
    """

    def __init__(
        self, kernel: int | tuple[int, int], stride: int | tuple[int, int] | None = None
    ) -> None:
        self.kernel = self.stride = pair(kernel, "kernel")
        if stride is not None:
            self.stride = pair(stride, "stride")

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.size = image_size(x)
        self.positions = tuple(map(positions, self.size, self.kernel, self.stride))
        return self.tangent(x)

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        shape = (*g.shape[:2], *self.size, g.shape[-1])
        dx = array_module(g).zeros(shape, g.dtype)
        share = g / (self.kernel[0] * self.kernel[1])
        for pixels in self._taps():
            dx[pixels] += share
        return dx

    def tangent(self, u: Array) -> Array:
        first, *rest = self._taps()
        total = u[first].copy()
        for pixels in rest:
            total += u[pixels]
        return total / (self.kernel[0] * self.kernel[1])

    def _taps(self) -> list[tuple[Any, ...]]:
        """Return the index of the pixels [..., I, J, C] that each tap of the kernel reads."""
        A, B = self.kernel
        I, J = self.positions  # noqa: E741 - an axis
        down, right = self.stride
        taps: list[tuple[Any, ...]] = []
        for a in range(A):
            rows = slice(a, a + (I - 1) * down + 1, down)
            for b in range(B):
                columns = slice(b, b + (J - 1) * right + 1, right)
                taps.append((..., rows, columns, slice(None)))
        return taps


class GlobalAveragePool(Layer):
    """The mean of each channel over the image: [R, M, H, W, C] -> [R, M, C]."""

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.size = image_size(x)
        return x.mean((-3, -2))

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        xp = array_module(g)
        H, W = self.size
        share = (g / (H * W))[..., None, None, :]
        shape = (*g.shape[:2], H, W, g.shape[-1])
        return xp.ascontiguousarray(xp.broadcast_to(share, shape))

    def tangent(self, u: Array) -> Array:
        return u.mean((-3, -2))
