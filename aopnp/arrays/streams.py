"""Random numbers as pure functions of (seed, run, purpose, index).

Nothing is drawn from a generator that lives on: each use names what it is for, so run r of every configuration
starts from the same weights, sees the same batches and uses the same selection noise. Configurations are paired,
can be trained in lock-step, and adding one changes no other; an interrupted run continues with the same numbers.
Drawn on the host, an epoch at a time, so that CPU and GPU select the same rows; large noise (masks, directions) is
made where it is used, with the same bits everywhere, by the counter-based generator of `aopnp.arrays.kernels.philox`.
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
    """The use of a stream of random numbers; part of its key, so values must never be renumbered."""

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
    """The random streams of R replicas: `Streams(seed=0, runs=range(10))` for ten runs of one configuration.

    Replica r follows `runs[r]`. Replicas that share a run (several configurations of one run in lock-step) draw
    once: their arrays have a leading axis of 1, and shared minibatches stay shared.
    """

    def __init__(self, seed: int = 0, runs: Sequence[int] = (0,)) -> None:
        self.seed, self.runs = int(seed), tuple(int(run) for run in runs)
        if not self.runs or min(self.runs) < 0 or self.seed < 0:
            raise ValueError(
                f"expected seed >= 0 and at least one run >= 0, got seed {seed} and runs {list(runs)}"
            )
        self._keys: dict[tuple[object, ...], Array] = {}

    @property
    def replicas(self) -> int:
        """Number of replicas R."""
        return len(self.runs)

    def draw(
        self, purpose: Purpose, *index: int, sample: Callable[[np.random.Generator], Array]
    ) -> Array:
        """Return `sample(generator)` of each replica, stacked [R, ...]; [1, ...] if all replicas share one run."""
        distinct = dict.fromkeys(self.runs)
        drawn = {
            run: sample(np.random.default_rng(self._sequence(run, purpose, *index)))
            for run in distinct
        }
        return np.stack([drawn[run] for run in (distinct if len(distinct) == 1 else self.runs)])

    def uniform(
        self,
        purpose: Purpose,
        *index: int,
        step: int,
        size: int,
        xp: ModuleType,
        copies: Sequence[int] | None = None,
    ) -> Array:
        """Return uniform variates in (0, 1), float64 [R, size] of array module `xp`, new ones at every `step`.

        [1, size] if all replicas share one run. A longer draw begins with the shorter one. `copies` asks for several
        draws at once, by their numbers: [copies, R or 1, size], where copy 0 is the draw that is made without.
        Nothing waits for the device: the keys are moved there once.
        """
        drawn = philox(*self._places(purpose, index, step, copies, xp), S=size)
        return drawn if copies is None else drawn.reshape(len(copies), -1, size)

    def normal(
        self,
        purpose: Purpose,
        *index: int,
        step: int,
        size: int,
        xp: ModuleType,
        copies: Sequence[int] | None = None,
    ) -> Array:
        """Return standard normal variates, float64 [..., R or 1, size], in the places of `uniform` ones.

        sqrt(-2 log u) cos(2 pi v) and sqrt(-2 log u) sin(2 pi v) (Box and Muller 1958), u and v side by side.
        """
        u = self.uniform(purpose, *index, step=step, size=size + size % 2, xp=xp, copies=copies)
        radius, angle = xp.sqrt(-2 * xp.log(u[..., ::2])), 2 * math.pi * u[..., 1::2]
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
        """Return 1 or -1, each with probability 1/2, of `dtype` [copies, R or 1, size], one bit of noise each."""
        keys, counters = self._places(purpose, index, step, copies, xp)
        return signs(keys, counters, xp.ones(len(keys), dtype), S=size).reshape(
            len(copies), -1, size
        )

    def _places(
        self,
        purpose: Purpose,
        index: tuple[int, ...],
        step: int,
        copies: Sequence[int] | None,
        xp: ModuleType,
    ) -> tuple[Array, Array]:
        """Return the keys of all replicas, once a copy, and the counters of `step`: the copy is in the high word."""
        name = (xp.__name__, purpose, *index)
        if name not in self._keys:
            runs = self.runs if len(set(self.runs)) > 1 else self.runs[:1]
            each = [
                self._sequence(run, purpose, *index).generate_state(1, np.uint64).view(np.int64)
                for run in runs
            ]
            self._keys[name] = xp.asarray(np.concatenate(each))
        keys = self._keys[name]
        if copies is None:
            return keys, xp.asarray(np.array([step]))
        counters = step + (np.array(copies, np.int64) << 32)
        return xp.tile(keys, len(copies)), xp.asarray(np.repeat(counters, len(keys)))

    def _sequence(self, run: int, purpose: Purpose, *index: int) -> np.random.SeedSequence:
        return np.random.SeedSequence(self.seed, spawn_key=(run, purpose, *index))
