"""Augmentation of images: a random crop of the zero-padded image, mirrored half of the time.

    y[h, w, c] = padded(x)[h + down, w' + right, c]      w' = W - 1 - w if flipped, else w

`down` and `right` are uniform on 0..2 padding, and `flipped` is true with probability 1/2 (He et
al. 2016, section 4.2). Every example has its own draw, a pure function of (seed, run, layer
number, step). The map is linear: each pixel of y is one pixel of padded x, and the transpose puts
it back.
"""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Layer


class RandomCropFlip(Layer):
    """Shift images x [R or 1, M, H, W, C] by up to `padding` pixels, and mirror half of them.

    The mirror exchanges left and right. In evaluation this layer is the identity.
    """

    streams: Streams | None = None
    pixels: tuple[Array, Array] | None
    """Rows [R or 1, M, H] and columns [R or 1, M, W] that the last forward pass picked.

    None where it was the identity.
    """

    def __init__(self, padding: int) -> None:
        if padding < 0:
            raise ValueError(f"expected a padding of at least 0 pixels, got {padding}")
        self.padding = padding

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        self.streams = streams
        self.number = index

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        if x.ndim != 5:
            raise ValueError(
                f"expected images [R or 1, M, H, W, C], got shape {x.shape}; reshape them"
            )
        self.pixels = None
        if step.training:
            self.pixels = self._draw(x, step.index)
        return self.tangent(x)

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        if not needs_input:
            return None
        if self.pixels is None:
            return g
        p = self.padding
        R, M, H, W, C = g.shape
        padded = array_module(g).zeros((R, M, H + 2 * p, W + 2 * p, C), g.dtype)
        padded[self._places(g)] = g  # no two pixels of an image come from one place
        return padded[:, :, p : p + H, p : p + W]

    def tangent(self, u: Array) -> Array:
        if self.pixels is None:
            return u
        images = u.reshape(-1, *u.shape[-4:])
        frame = self.padding, self.padding
        padded = array_module(u).pad(images, ((0, 0), (0, 0), frame, frame, (0, 0)))
        picked = padded[self._places(images)]
        return picked.reshape(*u.shape[:-5], -1, *u.shape[-4:])

    def _draw(self, x: Array, step: int) -> tuple[Array, Array]:
        """Return the rows [R or 1, M, H] and columns [R or 1, M, W] of padded images to pick."""
        if self.streams is None:
            raise ValueError(
                "expected an initialised RandomCropFlip, got one without streams; "
                "call initialise first"
            )
        xp = array_module(x)
        _, M, H, W, _ = x.shape
        drawn = self.streams.uniform(Purpose.NOISE, self.number, step=step, size=3 * M, xp=xp)
        drawn = drawn.reshape(-1, M, 3)
        shift = xp.floor(drawn[..., :2] * (2 * self.padding + 1)).astype(np.int64)
        down, right = shift[..., :1], shift[..., 1:]
        flipped = drawn[..., 2:] < 0.5
        columns = xp.arange(W)
        columns = xp.where(flipped, columns[::-1], columns)
        return xp.arange(H) + down, columns + right

    def _places(self, images: Array) -> tuple[Array, ...]:
        """Return the index arrays of the picked pixels of padded `images` [R, M, ...].

        They index replica, example, row and column. Replica i takes draw number i modulo the number
        of draws.
        """
        assert self.pixels is not None
        xp = array_module(images)
        rows, columns = self.pixels
        output = xp.arange(max(len(images), len(rows)))
        draw = output % len(rows)
        replica = (output % len(images))[:, None, None, None]
        example = xp.arange(images.shape[1])[:, None, None]
        return replica, example, rows[draw][..., :, None], columns[draw][..., None, :]
