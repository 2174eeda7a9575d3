"""Selection noise: the Gumbel variates by which estimators choose, one for each slot and step.

A slot is a term of the sum that is approximated. Every product of a layer has a stream of its own,
so that its noise depends neither on the layer's other products nor on neighbours in a stack. The
last slot is drawn first: the M rows of the batch come last, and see the same noise whether or not
a queue holds further slots before them.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators.product import Product
from aopnp.nn.layer import Layer

EPOCH_SLOTS = 4096
"""Number of the last slots of a product, which are drawn an epoch at a time: this is fast.

The slots before them, as the tens of thousands of patches in a convolution, are drawn step by
step: an epoch of them would not fit into memory.
"""


class Noise(Protocol):
    """The noise of a product in one epoch: an array [steps, R or 1, slots], or a `LongNoise`."""

    def __getitem__(self, t: int, /) -> Array:
        """Return the Gumbel variates [R or 1, slots] of step t of the epoch, counted from 0."""
        ...


@dataclass(frozen=True)
class LongNoise:
    """The noise of a product of many slots: its first `early` ones are drawn at each step."""

    streams: Streams
    purpose: Purpose
    epoch: int
    number: int
    """Number of the layer in its network."""
    early: int
    last: Array
    """The other slots of all steps [steps, R or 1, EPOCH_SLOTS]."""

    def __getitem__(self, t: int, /) -> Array:
        xp = array_module(self.last)
        key = self.epoch, self.number, t
        drawn = self.streams.draw(self.purpose, *key, sample=lambda g: g.gumbel(size=self.early))
        early = xp.asarray(np.ascontiguousarray(drawn[:, ::-1]))
        return xp.concatenate([early, self.last[t]], axis=-1)


def epoch_noise(
    network: Layer,
    streams: Streams,
    epoch: int,
    steps: int,
    batch_size: int,
    xp: ModuleType = np,
) -> dict[Product, Noise]:
    """Return the noise of one epoch for each product that wants some, in arrays of `xp`.

    `epoch_noise(...)[product][t]` is the noise of step t, counted from 0.
    """

    def draw(product: Product, number: int, slots: int) -> Noise:
        size = min(slots, EPOCH_SLOTS), steps
        drawn = streams.draw(product.noise, epoch, number, sample=lambda g: g.gumbel(size=size))
        last = xp.asarray(np.ascontiguousarray(drawn.transpose(2, 0, 1)[..., ::-1]))
        if slots <= EPOCH_SLOTS:
            return last
        return LongNoise(streams, product.noise, epoch, number, slots - EPOCH_SLOTS, last)

    noise: dict[Product, Noise] = {}
    for number, layer in enumerate(network.walk()):
        for product in layer.products().values():
            slots = product.slots(batch_size)
            if slots:
                noise[product] = draw(product, number, slots)
    return noise
