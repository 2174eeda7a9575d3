"""The networks of the forward-gradient experiments, made for one width."""

from collections.abc import Iterable, Sequence
from functools import partial

from aopnp import BatchNorm, Chain, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Unflatten
from aopnp.nn import Layer

POOL = 0
SMALL = (1, POOL, 2, POOL, 4, POOL)
VGG16 = (1, 1, POOL, 2, 2, POOL, 4, 4, 4, POOL, 8, 8, 8, POOL, 8, 8, 8, POOL)
"""Layers of a VGG-type network: the outputs of a 3 x 3 convolution as multiples of the width, or pooling."""


def mlp(width: int) -> Layer:
    """784-width-width-10 (Baydin et al. 2022 have 1024), for pixels in 0..1."""
    return Chain(Dense(784, width), ReLU(), Dense(width, width), ReLU(), Dense(width, 10))


def vgg(plan: Sequence[int], width: int) -> Layer:
    """Convolutions with batch norm and max pooling, one dense layer (Simonyan and Zisserman 2015, on 32 x 32 pixels).

    VGG16 of width 64 has 14.7 million weights.
    """
    layers = list(_convolutions(plan, width))
    side, channels = 32 >> list(plan).count(POOL), width * max(plan)
    return Chain(Unflatten(32, 32, 3), *layers, Flatten(), Dense(side * side * channels, 10))


def _convolutions(plan: Sequence[int], width: int) -> Iterable[Layer]:
    channels = 3
    for multiple in plan:
        if multiple == POOL:
            yield MaxPool2d(2)
        else:
            outputs = multiple * width
            yield from (Conv2d(channels, outputs, 3, padding=1), BatchNorm(outputs), ReLU())
            channels = outputs


small_vgg, vgg16 = partial(vgg, SMALL), partial(vgg, VGG16)
