"""Hypothesis strategies: settings and batches for which the laws hold exactly.

Integers held in floats: sums and products of small integers (and of halves and quarters) are exact in float32 and
float64, so the laws are equalities, not tolerances.
"""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aopnp.arrays.backend import Array
from aopnp.estimators.policies import PAPER_POLICIES
from aopnp.verify.subject import Batch, Setting

EXACT_DECAYS = (0.0, 0.25, 1.0)
"""Decays whose square root is exact in binary."""

dtypes = st.sampled_from([np.float32, np.float64])
sizes = st.integers(1, 6)


def integers_in_floats(
    shape: tuple[int, ...], dtype: type = np.float64, largest: int = 4
) -> st.SearchStrategy[Array]:
    """Arrays of integers in -largest..largest; zero rows and equal rows are common among small ones."""
    return hnp.arrays(np.int64, shape, elements=st.integers(-largest, largest)).map(
        lambda a: a.astype(dtype)
    )


def gumbel_noise(shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    """Standard Gumbel noise float64, from a drawn seed."""
    return st.integers(0, 2**32 - 1).map(
        lambda seed: np.random.default_rng(seed).gumbel(size=shape)
    )


@st.composite
def settings_of(
    draw: st.DrawFn,
    M: int,
    memories: Sequence[str],
    decays: Sequence[float] = EXACT_DECAYS,
    capacity: int | None = None,
) -> Setting:
    """Settings for batches of M rows: any policy, any K from 1 to M, one of `memories` and `decays`."""
    queue = draw(st.integers(1, 2 * M)) if capacity is None else capacity
    return Setting(
        draw(st.sampled_from(PAPER_POLICIES)),
        draw(st.integers(1, M)),
        draw(st.sampled_from(list(memories))),
        draw(st.sampled_from(list(decays))),
        queue,
    )


@st.composite
def batches(draw: st.DrawFn, setting: Setting, M: int, steps: int, lr: float = 1.0) -> list[Batch]:
    """Several batches of one shape [R, M, N] and [R, M, P], integer-valued, with noise for every candidate."""
    R, N, P, dtype = draw(st.integers(1, 3)), draw(sizes), draw(sizes), draw(dtypes)
    slots = M + (setting.capacity if setting.memory == "queue" else 0)

    def batch() -> Batch:
        x, g = (
            draw(integers_in_floats((R, M, N), dtype)),
            draw(integers_in_floats((R, M, P), dtype)),
        )
        return Batch(x, g, draw(gumbel_noise((R, slots))), lr)

    return [batch() for _ in range(steps)]


@st.composite
def trials(
    draw: st.DrawFn,
    memories: Sequence[str],
    *,
    steps: int = 4,
    decays: Sequence[float] = EXACT_DECAYS,
    capacity: int | None = None,
) -> tuple[Setting, list[Batch]]:
    """A setting and batches for it: what the laws of `aopnp.verify.laws` take."""
    M = draw(sizes)
    setting = draw(settings_of(M, memories, decays, capacity))
    return setting, draw(batches(setting, M, draw(st.integers(1, steps))))
