"""Augmentation of images: a random crop of the zero-padded image, mirrored half of the time (He et al. 2016, 4.2).

    y[h, w, c] = padded(x)[h + down, w' + right, c]      w' = W - 1 - w if flipped, else w

`down` and `right` are uniform on 0..2 padding, one draw per example: pure functions of (seed, run, layer number, step).
A linear map that picks each pixel of y from one of padded x, so its transpose puts it back.
"""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer


class RandomCropFlip(Layer):
    """Shift each image of x [R or 1, M, H, W, C] by up to `padding` pixels, flip every other one left-right.

    The identity in evaluation.
    """

    streams: Streams | None = None

    def __init__(self, padding: int) -> None:
        if padding < 0:
            raise ValueError(f"expected a padding of at least 0 pixels, got {padding}")
        self.padding = padding

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        self.streams, self.number = streams, index

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        if x.ndim != 5:
            raise ValueError(
                f"expected images [R or 1, M, H, W, C], got shape {x.shape}; reshape them"
            )
        self.pixels = self._draw(x, step.index) if step.training else None
        return self.tangent(x)

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if self.pixels is None or not needs_input:
            return g if needs_input else None
        p, (R, M, H, W, C) = self.padding, g.shape
        padded = array_module(g).zeros((R, M, H + 2 * p, W + 2 * p, C), g.dtype)
        padded[self._places(g)] = g  # no two pixels of an image come from one place
        return padded[:, :, p : p + H, p : p + W]

    def tangent(self, u: Array) -> Array:
        if self.pixels is None:
            return u
        p, images = self.padding, u.reshape(-1, *u.shape[-4:])
        padded = array_module(u).pad(images, ((0, 0), (0, 0), (p, p), (p, p), (0, 0)))
        picked = padded[self._places(images)]
        return picked.reshape(*u.shape[:-5], -1, *u.shape[-4:])

    def _draw(self, x: Array, step: int) -> tuple[Array, Array]:
        """Return the rows [R or 1, M, H] and columns [R or 1, M, W] of padded images that are picked."""
        if self.streams is None:
            raise ValueError(
                "expected an initialised RandomCropFlip, got one without streams; call initialise first"
            )
        xp, (_, M, H, W, _) = array_module(x), x.shape
        drawn = self.streams.uniform(
            Purpose.NOISE, self.number, step=step, size=3 * M, xp=xp
        ).reshape(-1, M, 3)
        shift = xp.floor(drawn[..., :2] * (2 * self.padding + 1)).astype(np.int64)
        flipped, columns = drawn[..., 2:] < 0.5, xp.arange(W)
        return xp.arange(H) + shift[..., :1], xp.where(flipped, columns[::-1], columns) + shift[
            ..., 1:
        ]

    def _places(self, images: Array) -> tuple[Array, ...]:
        """Return the index arrays of the picked pixels in padded `images`; replica i takes the draw of i modulo R."""
        assert self.pixels is not None
        xp, (rows, columns) = array_module(images), self.pixels
        replica = xp.arange(max(len(images), len(rows)))
        image, draw = (replica % len(images))[:, None, None, None], replica % len(rows)
        example = xp.arange(images.shape[1])[:, None, None]
        return image, example, rows[draw][..., :, None], columns[draw][..., None, :]
