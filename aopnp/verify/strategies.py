"""Hypothesis strategies: settings and batches for which the laws hold exactly.

Integers are held in floats. Sums and products of small integers (and of halves and quarters) are
exact in float32 and float64, so the laws are equalities, not tolerances.
"""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aopnp.arrays.backend import Array
from aopnp.estimators.policies import PAPER_POLICIES
from aopnp.verify.subject import Batch, Setting

EXACT_DECAYS = (0.0, 0.25, 1.0)
"""Decays with a square root that is exact in binary."""

dtypes = st.sampled_from([np.float32, np.float64])
sizes = st.integers(1, 6)


def integers_in_floats(
    shape: tuple[int, ...], dtype: type = np.float64, largest: int = 4
) -> st.SearchStrategy[Array]:
    """Arrays of integers in -largest..largest.

    Zero rows and equal rows are common among small arrays.
    """
    integers = hnp.arrays(np.int64, shape, elements=st.integers(-largest, largest))
    return integers.map(lambda array: array.astype(dtype))


def gumbel_noise(shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    """Standard Gumbel noise float64, from a drawn seed."""
    seeds = st.integers(0, 2**32 - 1)
    return seeds.map(lambda seed: np.random.default_rng(seed).gumbel(size=shape))


@st.composite
def settings_of(
    draw: st.DrawFn,
    M: int,
    memories: Sequence[str],
    decays: Sequence[float] = EXACT_DECAYS,
    capacity: int | None = None,
) -> Setting:
    """Settings for batches of M rows: any policy, K from 1 to M, one of `memories` and `decays`.

    If no capacity is given, it is drawn.
    """
    if capacity is None:
        capacity = draw(st.integers(1, 2 * M))
    return Setting(
        policy=draw(st.sampled_from(PAPER_POLICIES)),
        k=draw(st.integers(1, M)),
        memory=draw(st.sampled_from(list(memories))),
        decay=draw(st.sampled_from(list(decays))),
        capacity=capacity,
    )


@st.composite
def batches(draw: st.DrawFn, setting: Setting, M: int, steps: int, lr: float = 1.0) -> list[Batch]:
    """Batches of one shape [R, M, N] and [R, M, P], one for each of `steps` steps.

    They are integer-valued, and have noise for every candidate.
    """
    R = draw(st.integers(1, 3))
    N, P = draw(sizes), draw(sizes)
    dtype = draw(dtypes)
    slots = M
    if setting.memory == "queue":
        slots = M + setting.capacity
    drawn = []
    for _ in range(steps):
        x = draw(integers_in_floats((R, M, N), dtype))
        g = draw(integers_in_floats((R, M, P), dtype))
        noise = draw(gumbel_noise((R, slots)))
        drawn.append(Batch(x, g, noise, lr))
    return drawn


@st.composite
def trials(
    draw: st.DrawFn,
    memories: Sequence[str],
    *,
    steps: int = 4,
    decays: Sequence[float] = EXACT_DECAYS,
    capacity: int | None = None,
) -> tuple[Setting, list[Batch]]:
    """A setting and up to `steps` batches for it: the arguments of a law in `aopnp.verify.laws`."""
    M = draw(sizes)
    setting = draw(settings_of(M, memories, decays, capacity))
    count = draw(st.integers(1, steps))
    return setting, draw(batches(setting, M, count))
