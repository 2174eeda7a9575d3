"""Batches of constant size: a new order in every epoch, without the last batch if it is not full.

The size is constant because a row memory belongs to the slots of a batch.
"""

from types import ModuleType

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.streams import Purpose, Streams


def epoch_batches(
    streams: Streams, epoch: int, samples: int, batch_size: int, xp: ModuleType = np
) -> list[Array]:
    """Return the sample indices of each batch of an epoch, in arrays of `xp`.

    Each array is [R, M], or [1, M] if all replicas share one run.
    """
    drawn = streams.draw(
        Purpose.ORDER, epoch, sample=lambda generator: generator.permutation(samples)
    )
    order = xp.asarray(drawn)
    starts = range(0, samples - batch_size + 1, batch_size)
    return [order[:, start : start + batch_size] for start in starts]
