"""The laws of approximate outer products with memory, applied to this library."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp.estimators.policies import PAPER_POLICIES
from aopnp.verify import Batch, Setting, batches, laws, library, trials

ALL = ["none", "row", "residual", "queue"]
ROOM = 100  # a capacity that no trial fills


@given(trials(ALL))
def test_distinct_rows(trial):
    laws.distinct_rows(library, *trial)


@given(trials(["none"]))
def test_estimate_is_the_selected_sum(trial):
    laws.estimate_is_the_selected_sum(library, *trial)


@given(trials(["row"]))
def test_conservation(trial):
    laws.conservation(library, *trial)


@given(trials(["row"]))
def test_bookkeeping(trial):
    laws.bookkeeping(library, *trial)


@given(trials(["row", "residual", "queue"], capacity=ROOM))
def test_decay_shrinks_the_product(trial):
    laws.decay_shrinks_the_product(library, *trial)


@given(trials(ALL))
def test_all_rows_are_exact(trial):
    laws.all_rows_are_exact(library, *trial)


@given(trials(["row", "residual"]))
def test_decay_zero_forgets(trial):
    laws.decay_zero_forgets(library, *trial)


@given(trials(["residual", "queue"], decays=[1.0], capacity=ROOM))
def test_telescoping(trial):
    laws.telescoping(library, *trial)


@given(trials(["residual"], decays=[1.0]))
def test_residual_returns_whole(trial):
    laws.residual_returns_whole(library, *trial)


@given(trials(["queue"], decays=[1.0], capacity=ROOM))
def test_queue_drains(trial):
    laws.queue_drains(library, *trial)


@given(trials(ALL))
def test_stacked_equals_alone(trial):
    laws.stacked_equals_alone(library, *trial)


def random_batch(seed, M, R=2, N=5, P=3):
    """Return a batch of normal floats: no ties."""
    rng = np.random.default_rng(seed)
    return Batch(rng.normal(size=(R, M, N)), rng.normal(size=(R, M, P)), rng.gumbel(size=(R, M)))


@pytest.mark.parametrize("policy", PAPER_POLICIES)
@pytest.mark.parametrize("memory", ["none", "row", "residual"])
@given(seed=st.integers(0, 10**6), M=st.integers(2, 12), data=st.data())
def test_permutation_and_scaling(policy, memory, seed, M, data):
    setting = Setting(policy, data.draw(st.integers(1, M - 1)), memory)
    batch = random_batch(seed, M)
    order = np.array(data.draw(st.permutations(range(M))))
    if (
        memory != "residual"
    ):  # its residual is a product over the other rows, in the order of the batch
        laws.permutation(library, setting, [batch], order)
    laws.scaling(library, setting, [batch], data.draw(st.integers(-8, 8)))


@given(st.data())
def test_stacked_configurations_equal_each_alone_on_floats(data):
    """Real floats, shapes that BLAS treats differently, all policies and knobs in one stack."""
    M, N, P = (data.draw(st.integers(1, 40)) for _ in range(3))
    seed, dtype = (
        data.draw(st.integers(0, 10**6)),
        data.draw(st.sampled_from([np.float32, np.float64])),
    )
    rng = np.random.default_rng(seed)
    setting = Setting(
        data.draw(st.sampled_from(PAPER_POLICIES)), data.draw(st.integers(1, M)), "row", 0.7
    )
    steps = [
        Batch(
            rng.normal(size=(3, M, N)).astype(dtype),
            rng.normal(size=(3, M, P)).astype(dtype),
            rng.gumbel(size=(3, M)),
            0.1 * (t + 1),
        )
        for t in range(3)
    ]
    laws.stacked_equals_alone(library, setting, steps)


@given(st.integers(1, 6), st.data())
def test_queue_overflow_drops_the_smallest_and_counts_them(M, data):
    setting = Setting(
        "topk", data.draw(st.integers(1, M)), "queue", 1.0, data.draw(st.integers(1, M))
    )
    steps = data.draw(batches(setting, M, steps=3))
    subject = library(setting)
    held = [np.zeros(0)] * len(steps[0].g)  # squared norms of the queued outer products
    dropped = np.zeros(len(held), int)
    for batch in steps:
        subject.step(batch)
        for r in range(len(held)):
            norms = (batch.x[r] ** 2).sum(-1) * (batch.g[r] ** 2).sum(-1)
            left = np.sort(np.concatenate([held[r], norms]))[::-1][setting.k :]
            held[r], lost = left[: setting.capacity], left[setting.capacity :]
            dropped[r] += len(lost)
            queued = subject.state.count[r]
            got = (subject.state.x[r] ** 2).sum(-1) * (subject.state.g[r] ** 2).sum(-1)
            assert queued == len(held[r])
            np.testing.assert_array_equal(np.sort(got[:queued])[::-1], held[r])
            assert not got[queued:].any()
    np.testing.assert_array_equal(subject.state.dropped, dropped)


def test_queue_is_ordered_by_age():
    subject = library(Setting("topk", 1, "queue", 1.0, 4))
    for t in range(3):  # two pairs of equal norm a step: the older one goes first
        x = np.array([[[2.0 * t], [2.0 * t + 1]]])
        subject.step(Batch(x + 1, 1 / (x + 1), np.zeros((1, 6))))
    np.testing.assert_array_equal(subject.state.x[0, :, 0], [4, 5, 6, 0])
