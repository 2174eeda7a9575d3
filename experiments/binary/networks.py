"""The binary networks, made with a storage for the soft weights: weights -1 and 1, batch norm after every layer.

The input is real, and so are the outputs, which pass no sign (Courbariaux et al. 2016). Pooling comes before batch
norm: the maximum of signs would nearly always be 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aopnp import BatchNorm, Chain, Flatten, MaxPool2d, Unflatten
from aopnp.nn import BinaryConv2d, BinaryDense, Initialiser, Layer, Sign, uniform_latent
from aopnp.nn.soft_weights import FloatLatent, Storage

POOL = 0
BCNN = (1, 1, POOL, 2, 2, POOL)
BVGG16 = (1, 1, POOL, 2, 2, POOL, 4, 4, 4, POOL, 8, 8, 8, POOL, 8, 8, POOL)
"""Layers: the outputs of a 3 x 3 convolution as multiples of the width, or pooling. VGG16 has one more of 8."""


class Parts(NamedTuple):
    """What tells the networks of two configurations apart."""

    width: int
    storage: Storage = FloatLatent()
    init: Initialiser = uniform_latent


def bcnn(parts: Parts) -> Layer:
    """28 x 28 pixels, convolutions of 1, 1, 2, 2 times the width, a dense layer of 12 times: 5.08 M weights at 64."""
    hidden = 12 * parts.width
    dense = (_dense(7 * 7 * 2 * parts.width, hidden, parts), BatchNorm(hidden), Sign())
    return Chain(
        Unflatten(28, 28, 1),
        *_convolutions(1, BCNN, parts),
        Flatten(),
        *dense,
        *_outputs(hidden, parts),
    )


def bvgg16(parts: Parts) -> Layer:
    """VGG16 without its dense layers and one of its 8-fold convolutions, for 32 x 32 pixels: 12.35 M weights at 64."""
    convolutions = _convolutions(3, BVGG16, parts)
    return Chain(Unflatten(32, 32, 3), *convolutions, Flatten(), *_outputs(8 * parts.width, parts))


def mlp(parts: Parts) -> Layer:
    """784-width-width-10."""
    first = (_dense(784, parts.width, parts), BatchNorm(parts.width), Sign())
    second = (_dense(parts.width, parts.width, parts), BatchNorm(parts.width), Sign())
    return Chain(*first, *second, *_outputs(parts.width, parts))


def _convolutions(channels: int, plan: Sequence[int], parts: Parts) -> list[Layer]:
    layers: list[Layer] = []
    for multiple, following in zip(plan, (*plan[1:], None), strict=True):
        if multiple != POOL:
            outputs = multiple * parts.width
            layers.append(
                BinaryConv2d(
                    channels, outputs, 3, padding=1, storage=parts.storage, init=parts.init
                )
            )
            layers += [MaxPool2d(2)] if following == POOL else []
            layers += [BatchNorm(outputs), Sign()]
            channels = outputs
    return layers


def _outputs(inputs: int, parts: Parts) -> tuple[Layer, Layer]:
    return _dense(inputs, 10, parts), BatchNorm(10)


def _dense(inputs: int, outputs: int, parts: Parts) -> Layer:
    return BinaryDense(inputs, outputs, storage=parts.storage, init=parts.init)
