"""Random numbers as pure functions of (seed, run, purpose, index).

No generator lives on between two draws: each draw names its purpose, so run r of every
configuration starts from the same weights, sees the same batches and uses the same selection noise.
Configurations are therefore paired and can be trained in lock-step; adding one changes no other; an
interrupted run continues with the same numbers.

Selection keys, orders and initial values are drawn on the host, an epoch at a time, so that CPU and
GPU select the same rows. Large noise (masks, directions) is made on the device that uses it, with
the same bits everywhere, by the counter-based generator of `aopnp.arrays.kernels.philox`.
"""

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from types import ModuleType
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.kernels import philox, signs


class Purpose(IntEnum):
    """The purpose of a stream of random numbers.

    The value is part of the stream's key: it must never be renumbered.
    """

    INITIAL = 0
    ORDER = 1
    SELECTION = 2
    NOISE = 3
    FEEDBACK = 4
    DIRECTIONS = 5
    ROUNDING = 6
    FORWARD_SELECTION = 7
    INPUT_SELECTION = 8


class Streams:
    """The random streams of R replicas, such as `Streams(seed=0, runs=range(10))` for ten runs.

    Replica r follows `runs[r]`, and replicas of the same run get the same numbers. Where all of
    them share one run (several configurations of one run in lock-step), the numbers are drawn once:
    the arrays have a leading axis of 1, and minibatches stay shared. Raises ValueError for a
    negative seed, a negative run, or no run at all.
    """

    def __init__(self, seed: int = 0, runs: Sequence[int] = (0,)) -> None:
        self.seed = int(seed)
        self.runs = tuple(int(run) for run in runs)
        if not self.runs or min(self.runs) < 0 or self.seed < 0:
            raise ValueError(
                "expected seed >= 0 and at least one run >= 0, "
                f"got seed {seed} and runs {list(runs)}"
            )
        self._keys: dict[tuple[object, ...], Array] = {}

    @property
    def replicas(self) -> int:
        """Number of replicas R."""
        return len(self.runs)

    def draw(
        self, purpose: Purpose, *index: int, sample: Callable[[np.random.Generator], Array]
    ) -> Array:
        """Return `sample(generator)` of each replica, stacked [R, ...].

        The result is [1, ...] if all replicas share one run.
        """
        of_runs = {}
        for run in dict.fromkeys(self.runs):
            generator = np.random.default_rng(self._sequence(run, purpose, *index))
            of_runs[run] = sample(generator)
        if len(of_runs) == 1:
            return np.stack(list(of_runs.values()))
        return np.stack([of_runs[run] for run in self.runs])

    def uniform(
        self,
        purpose: Purpose,
        *index: int,
        step: int,
        size: int,
        xp: ModuleType,
        copies: Sequence[int] | None = None,
    ) -> Array:
        """Return uniform variates in (0, 1), float64 [R, size] of array module `xp`.

        Every `step` has new variates. The result is [1, size] if all replicas share one run. A
        longer draw begins with the numbers of a shorter one. `copies` asks for several draws at
        once, by their numbers: [copies, R or 1, size]; copy 0 equals the draw without `copies`. The
        host does not wait for the device: the keys are moved there once.
        """
        keys, counters = self._keys_and_counters(purpose, index, step, copies, xp)
        drawn = philox(keys, counters, S=size)
        if copies is None:
            return drawn
        return drawn.reshape(len(copies), -1, size)

    def normal(
        self,
        purpose: Purpose,
        *index: int,
        step: int,
        size: int,
        xp: ModuleType,
        copies: Sequence[int] | None = None,
    ) -> Array:
        """Return standard normal variates, float64 [..., R or 1, size]; arguments as in `uniform`.

        Two neighbouring uniform variates u and v give two normal ones: sqrt(-2 log u) cos(2 pi v)
        and sqrt(-2 log u) sin(2 pi v) (Box and Muller 1958).
        """
        even = size + size % 2
        u = self.uniform(purpose, *index, step=step, size=even, xp=xp, copies=copies)
        radius = xp.sqrt(-2 * xp.log(u[..., ::2]))
        angle = 2 * math.pi * u[..., 1::2]
        pairs = xp.stack([radius * xp.cos(angle), radius * xp.sin(angle)], -1)
        return pairs.reshape(*u.shape[:-1], -1)[..., :size]

    def signs(
        self,
        purpose: Purpose,
        *index: int,
        step: int,
        size: int,
        xp: ModuleType,
        copies: Sequence[int],
        dtype: Any,
    ) -> Array:
        """Return signs, 1 or -1 with probability 1/2 each, of `dtype` [copies, R or 1, size].

        A sign takes one bit of noise. The other arguments are those of `uniform`.
        """
        keys, counters = self._keys_and_counters(purpose, index, step, copies, xp)
        ones = xp.ones(len(keys), dtype)
        drawn = signs(keys, counters, ones, S=size)
        return drawn.reshape(len(copies), -1, size)

    def _keys_and_counters(
        self,
        purpose: Purpose,
        index: tuple[int, ...],
        step: int,
        copies: Sequence[int] | None,
        xp: ModuleType,
    ) -> tuple[Array, Array]:
        """Return the keys and counters, int64 [copies * (R or 1)], from which the draws are made.

        Each copy has the keys of all replicas. The counter of a draw is `step`, with the number of
        the copy in its high word. Without `copies` the counter is `step` alone [1].
        """
        stream = (xp.__name__, purpose, *index)
        if stream not in self._keys:
            self._keys[stream] = xp.asarray(self._keys_of_runs(purpose, *index))
        keys = self._keys[stream]
        if copies is None:
            return keys, xp.asarray(np.array([step]))
        counters = step + (np.array(copies, np.int64) << 32)
        return xp.tile(keys, len(copies)), xp.asarray(np.repeat(counters, len(keys)))

    def _keys_of_runs(self, purpose: Purpose, *index: int) -> Array:
        """Return the key of each replica, int64 [R] on the host; [1] if all share one run."""
        runs = self.runs
        if len(set(runs)) == 1:
            runs = runs[:1]
        keys = []
        for run in runs:
            words = self._sequence(run, purpose, *index).generate_state(1, np.uint64)
            keys.append(words.view(np.int64))
        return np.concatenate(keys)

    def _sequence(self, run: int, purpose: Purpose, *index: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(run, purpose, *index))
