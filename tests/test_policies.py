"""The policies: which rows, how often, and what happens at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import AOP, RowMemory, topk
from aopnp.arrays.kernels.log_norms import FLOOR
from aopnp.estimators.policies import POLICIES, LargestKeys, k_best
from aopnp.verify import Batch, LibrarySubject, Setting, library, sampling

DRAWS = 40_000


def rows_drawn(policy, log_norms, k, seed=1):
    """Return DRAWS independent selections [DRAWS, k]: each replica draws its own noise."""
    stacked = np.tile(log_norms, (DRAWS, 1))
    noise = np.random.default_rng(seed).gumbel(size=stacked.shape)
    return POLICIES[policy](stacked, noise, np.full(DRAWS, k)).rows


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_weightedk_is_successive_sampling_by_squared_norms(k):
    """Inclusion and pair frequencies against the enumeration of all ordered draws."""
    norms = np.array([1.0, 2.0, 0.5, 1.5, 3.0])
    z = sampling.pair_z(rows_drawn("weightedk", np.log(norms), k), norms**2)
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("k", [1, 3])
def test_weighted_is_successive_sampling_by_norms(k):
    norms = np.array([1.0, 2.0, 0.5, 1.5, 3.0])
    assert np.abs(sampling.pair_z(rows_drawn("weighted", np.log(norms), k), norms)).max() < 4.5


def test_the_selection_law_tells_squared_norms_from_norms():
    norms = np.array([1.0, 2.0, 0.5, 1.5, 3.0])
    z = sampling.pair_z(rows_drawn("weightedk", np.log(norms), 2), norms)
    assert np.abs(z).max() > 20


@pytest.mark.parametrize("k", [1, 2, 3])
def test_randk_is_uniform_whatever_the_scores(k):
    log_norms = np.array([FLOOR, 700.0, 0.0, -3.0])
    assert np.abs(sampling.pair_z(rows_drawn("randk", log_norms, k), np.ones(4))).max() < 4.5


def test_enumeration_sums_to_k_and_knows_the_two_row_case():
    P = sampling.pair_probabilities(np.array([1.0, 2.0, 3.0]), 2)
    assert np.trace(P) == pytest.approx(2)
    # rows 0 and 1: 1/6 * 2/5 + 2/6 * 1/4
    assert P[0, 1] == pytest.approx(1 / 15 + 1 / 12)


def test_weightedk_fills_up_with_zero_rows_uniformly():
    """One positive score, K = 2: that row always, and each zero row equally often."""
    rows = rows_drawn("weightedk", np.array([FLOOR, 1.0, FLOOR, FLOOR]), 2)
    assert (rows[:, 0] == 1).all()
    counts = np.bincount(rows[:, 1], minlength=4)[[0, 2, 3]]
    assert np.abs((counts / DRAWS - 1 / 3) / np.sqrt(2 / 9 / DRAWS)).max() < 4.5


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.data())
def test_topk_keeps_the_largest_and_ties_go_to_the_lower_row(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    noise = np.random.default_rng(0).gumbel(size=(1, len(scores)))  # must not enter
    selection = topk(np.array([scores], float), noise, np.array([k]))
    expected = sorted(range(len(scores)), key=lambda m: (-scores[m], m))[:k]
    np.testing.assert_array_equal(selection.rows, [expected])
    np.testing.assert_array_equal(selection.weights, np.ones((1, k)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_went_wrong_is_selected_at_once(policy, bad):
    log_norms = np.array([[1.0, 2.0, bad, 3.0]])
    for seed in range(20):
        noise = np.random.default_rng(seed).gumbel(size=(1, 4))
        assert POLICIES[policy](log_norms, noise, np.array([1])).rows[0, 0] == 2


@pytest.mark.parametrize("policy", [name for name, policy in POLICIES.items() if not policy.scaled])
def test_an_empty_slot_comes_last(policy):
    log_norms = np.array([[-np.inf, FLOOR, -np.inf, FLOOR]])
    for seed in range(20):
        noise = np.random.default_rng(seed).gumbel(size=(1, 4))
        assert set(POLICIES[policy](log_norms, noise, np.array([2])).rows[0]) == {1, 3}


@pytest.mark.parametrize("policy", [name for name, policy in POLICIES.items() if policy.scaled])
@pytest.mark.parametrize("filled", [FLOOR, 0.5])
def test_an_empty_slot_is_never_drawn(policy, filled):
    log_norms = np.tile([-np.inf, filled, -np.inf, filled, -np.inf], (200, 1))
    noise = np.random.default_rng(0).gumbel(size=(200, 5))
    for k in (1, 2, 5):
        selection = POLICIES[policy](log_norms, noise, np.full(200, k))
        assert not selection.mask(5)[:, [0, 2, 4]].any()
        assert selection.mask(5).any() or filled == FLOOR


@pytest.mark.parametrize("policy", POLICIES)
def test_when_all_rows_went_wrong_some_are_selected(policy):
    log_norms = np.full((50, 90), np.nan)
    noise = np.random.default_rng(0).gumbel(size=(50, 90))
    selection = POLICIES[policy](log_norms, noise, np.full(50, 2))
    assert (selection.count >= 2).all()
    assert (selection.weights[:, :2] >= 1).all()
    assert np.isfinite(selection.weights).all()


@pytest.mark.parametrize("memory", ["none", "row", "residual", "queue"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_nan_row_reaches_the_estimate_and_never_the_memory(policy, memory):
    x, g = np.ones((1, 3, 2)), np.ones((1, 3, 1))
    x[0, 1, 0] = np.nan
    subject = library(Setting(policy, 1, memory, 1.0, 5))
    outcome = subject.step(Batch(x, g, np.zeros((1, 8 if memory == "queue" else 3))))
    assert np.isnan(outcome.gradient).any()
    assert np.isfinite(outcome.owed).all()


def test_overflowing_squared_norms_in_float32_still_rank():
    x = np.array([[[1e19], [3e19], [2e19]]], np.float32)  # squares overflow float32
    g = np.full((1, 3, 1), 1e19, np.float32)
    outcome = library(Setting("topk", 1, "row")).step(
        Batch(x, g / np.float32(1e30), np.zeros((1, 3)))
    )
    assert outcome.rows[0, 0] == 1
    assert np.isfinite(outcome.gradient).all()


def test_the_first_rows_are_the_first_that_are_there():
    log_norms = np.array([[0.0, 9.0, FLOOR, 2.0], [-np.inf, 1.0, np.nan, 0.0]])
    selection = POLICIES["firstk"](log_norms, np.zeros((1, 4)), np.array([3, 2]))
    np.testing.assert_array_equal(selection.rows, [[0, 1, 2], [2, 1, 2]])


def test_knobs_may_differ_between_replicas():
    policy = LargestKeys(alpha=np.array([1, 0]), beta=np.array([0, 1]))
    log_norms, noise = np.array([[1.0, 2.0, 3.0]] * 2), np.array([[9.0, 0.0, -9.0]])
    selection = policy(log_norms, noise, np.array([1, 2]))
    np.testing.assert_array_equal(selection.rows, [[2, 2], [0, 1]])
    np.testing.assert_array_equal(selection.weights, [[1, 0], [1, 1]])


def test_a_policy_is_any_function_that_returns_a_selection():
    def last_rows(log_norms, noise, k):
        return k_best(
            np.broadcast_to(np.arange(log_norms.shape[-1], dtype=float), log_norms.shape).copy(), k
        )

    subject = LibrarySubject(AOP(last_rows, 1, RowMemory()))
    x = np.array([[[1.0], [2.0]]])
    np.testing.assert_array_equal(subject.step(Batch(x, x, np.zeros((1, 2)))).gradient, [[[4.0]]])
