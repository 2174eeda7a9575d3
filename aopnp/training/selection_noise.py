"""Selection noise: the Gumbel variates by which the layers' estimators choose, one a slot and step.

A slot is a term of the sum that is approximated. Slots are counted from the last, so that the M fresh rows, which come
last, meet the same noise whatever a queue, or an unlike estimator in the same stack, holds before them.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose, Streams
from aopnp.nn.layer import Layer

EPOCH_SLOTS = 4096
"""The last slots of a layer, drawn an epoch at a time: fast. Those before them, as the tens of thousands of patches in
a convolution, are drawn step by step: an epoch of them would not fit into memory."""


class Noise(Protocol):
    """The noise of one layer in one epoch: an array [steps, R or 1, slots], or what can be indexed like it."""

    def __getitem__(self, t: int, /) -> Array:
        """Return the noise of the epoch's step t, counted from 0: Gumbel variates [R or 1, slots]."""
        ...


@dataclass(frozen=True)
class LongNoise:
    """The noise of a layer of many slots: `last`, and before it `early` slots that are drawn when they are needed."""

    streams: Streams
    epoch: int
    number: int
    early: int
    last: Array
    """[steps, R or 1, EPOCH_SLOTS]"""

    def __getitem__(self, t: int, /) -> Array:
        xp = array_module(self.last)
        drawn = self.streams.draw(
            Purpose.SELECTION,
            self.epoch,
            self.number,
            t,
            sample=lambda generator: generator.gumbel(size=self.early),
        )
        return xp.concatenate([xp.asarray(drawn[:, ::-1].copy()), self.last[t]], axis=-1)


def epoch_noise(
    network: Layer, streams: Streams, epoch: int, steps: int, batch_size: int, xp: ModuleType = np
) -> dict[Layer, Noise]:
    """Return the noise of one epoch for each layer that wants some, in arrays of `xp`.

    `epoch_noise(...)[layer][t]` is what step t, counted from 0, needs of it. The last slot is drawn first, hence
    the reversals.
    """

    def draw(number: int, slots: int) -> Noise:
        drawn = streams.draw(
            Purpose.SELECTION,
            epoch,
            number,
            sample=lambda g: g.gumbel(size=(min(slots, EPOCH_SLOTS), steps)),
        )
        last = xp.asarray(np.ascontiguousarray(drawn.transpose(2, 0, 1)[..., ::-1]))
        return (
            last
            if slots <= EPOCH_SLOTS
            else LongNoise(streams, epoch, number, slots - EPOCH_SLOTS, last)
        )

    wanted = {
        layer: (number, layer.noise_slots(batch_size))
        for number, layer in enumerate(network.walk())
    }
    return {layer: draw(number, slots) for layer, (number, slots) in wanted.items() if slots}
