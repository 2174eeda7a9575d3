"""Pooling of channels-last images [R, M, H, W, C]: one number for each window and channel."""

from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import max_pool, scatter_pixels
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer
from aopnp.nn.unfold import image_size, numbers, pair, positions


class MaxPool2d(Layer):
    """The largest value of each window; of equal ones the first, row by row, and NaN before all numbers.

    The derivative is that of picking the pixels which were largest. `stride` is the kernel's size by default.
    """

    def __init__(
        self, kernel: int | tuple[int, int], stride: int | tuple[int, int] | None = None
    ) -> None:
        self.kernel = pair(kernel, "kernel")
        self.stride = self.kernel if stride is None else pair(stride, "stride")

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
        H, W = self.size
        return (
            scatter_pixels(array_module(g).ascontiguousarray(g), self.pixels, H=H, W=W)
            if needs_input
            else None
        )

    def tangent(self, u: Array) -> Array:
        *leading, H, W, C = u.shape
        _, M, I, J, _ = self.pixels.shape  # noqa: E741
        pixels = self.pixels.reshape(*(1,) * (u.ndim - 5), -1, M, I * J, C)
        picked = array_module(u).take_along_axis(u.reshape(*leading, H * W, C), pixels, -2)
        return picked.reshape(*picked.shape[:-2], I, J, C)


class AveragePool2d(Layer):
    """The mean of each window: a sum over the A B taps of what each tap sees. `stride` is the kernel's by default."""

    def __init__(
        self, kernel: int | tuple[int, int], stride: int | tuple[int, int] | None = None
    ) -> None:
        self.kernel = pair(kernel, "kernel")
        self.stride = self.kernel if stride is None else pair(stride, "stride")

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        self.size = image_size(x)
        self.positions = tuple(map(positions, self.size, self.kernel, self.stride))
        return self.tangent(x)

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        back = array_module(g).zeros((*g.shape[:2], *self.size, g.shape[-1]), g.dtype)
        share = g / (self.kernel[0] * self.kernel[1])
        for seen in self._taps():
            back[seen] += share
        return back

    def tangent(self, u: Array) -> Array:
        first, *others = self._taps()
        total = u[first].copy()
        for seen in others:
            total += u[seen]
        return total / (self.kernel[0] * self.kernel[1])

    def _taps(self) -> list[tuple[Any, ...]]:
        """Return what each tap sees in all windows, as an index [..., I, J, C] of the images."""
        (A, B), (I, J), (down, right) = self.kernel, self.positions, self.stride  # noqa: E741
        return [
            (
                ...,
                slice(a, a + (I - 1) * down + 1, down),
                slice(b, b + (J - 1) * right + 1, right),
                slice(None),
            )
            for a in range(A)
            for b in range(B)
        ]


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
        H, W = self.size
        xp, share = array_module(g), (g / (H * W))[..., None, None, :]
        return xp.ascontiguousarray(xp.broadcast_to(share, (*g.shape[:2], H, W, g.shape[-1])))

    def tangent(self, u: Array) -> Array:
        return u.mean((-3, -2))
