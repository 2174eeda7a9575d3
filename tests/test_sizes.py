"""How many outer products to keep: truncation as published, bounds, knobs, schedules, and what is
refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import AOP, topk
from aopnp.estimators import stack
from aopnp.estimators.term_counts import CountRule, EpochRatios, Ratio, check_count, counts_of

counts = st.integers(1, 10_000)
ratios = st.floats(0, 1)


def kept(size, n, epoch=1, R=1):
    """Return k [R]."""
    return counts_of(size, n, epoch, R).k


# Ratio.


@pytest.mark.parametrize(
    ("n", "ratio", "k"),
    [
        (100, 0.29, 28),
        (100, 0.28, 28),
        (50, 0.9, 45),
        (10, 0.99, 9),
        (3, 0.5, 1),
        (7, 1.0, 7),
        (10, 0.05, 1),
    ],
)
def test_the_product_is_truncated_as_a_float(n, ratio, k):
    """100 * 0.29 is 28.999999999999996: rounding, or exact arithmetic, would keep 29."""
    np.testing.assert_array_equal(kept(Ratio(ratio), n), [k])


@given(counts, ratios, st.integers(0, 50))
def test_a_ratio_by_its_definition(n, ratio, minimal):
    assert kept(Ratio(ratio, minimal), n)[0] == min(max(int(n * ratio), minimal), n)


@given(counts, st.integers(1, 64))
def test_a_ratio_that_is_exact_in_binary_keeps_its_part(n, parts):
    share = Fraction(parts, 64)
    assert kept(Ratio(float(share), 0), n)[0] == n * share // 1


@pytest.mark.parametrize(("n", "k"), [(9, 9), (10, 10), (11, 10), (99, 49)])
def test_a_layer_with_at_most_the_minimal_number_of_terms_is_exact(n, k):
    assert kept(Ratio(0.5, minimal=10), n)[0] == k


def test_at_least_one_term_is_kept_unless_none_is_allowed():
    assert kept(Ratio(0.0), 5)[0] == 1
    assert kept(Ratio(0.0, minimal=0), 5)[0] == 0


def test_ratios_and_minimal_numbers_may_be_knobs():
    rule = Ratio(np.array([0.29, 0.5, 0.0]), np.array([1, 60, 2]))
    np.testing.assert_array_equal(kept(rule, 100, R=3), [28, 60, 2])
    np.testing.assert_array_equal(kept(Ratio(0.29, np.array([1, 60])), 100, R=2), [28, 60])
    np.testing.assert_array_equal(kept(Ratio(0.5), 100, R=3), [50, 50, 50])


def test_ratios_are_stacked_into_knobs():
    stacked = stack([AOP(topk, Ratio(0.25, 2)), AOP(topk, Ratio(0.5, 2))])
    np.testing.assert_array_equal(stacked.k.ratio, [0.25, 0.5])
    assert stacked.k.minimal == 2
    np.testing.assert_array_equal(kept(stacked.k, 12, R=2), [3, 6])
    with pytest.raises(ValueError, match="expected estimators of one kind"):
        stack([AOP(topk, Ratio(0.25)), AOP(topk, 3)])


@pytest.mark.parametrize("ratio", [-0.1, 1.1, np.nan, np.inf, np.array([0.5, 2.0])])
def test_a_ratio_outside_0_to_1_is_refused(ratio):
    with pytest.raises(
        ValueError, match=r"expected a ratio from 0 to 1, got .*; 1 keeps every outer product"
    ):
        Ratio(ratio)


@pytest.mark.parametrize("minimal", [-1, np.array([1, -1])])
def test_a_negative_minimal_number_is_refused(minimal):
    with pytest.raises(ValueError, match="expected a minimal K of at least 0, got"):
        Ratio(0.5, minimal)


# EpochRatios.


@given(st.lists(ratios, min_size=1, max_size=5), st.integers(1, 9), counts, st.integers(0, 20))
def test_a_schedule_has_a_ratio_for_every_epoch_and_the_last_one_stays(values, epoch, n, minimal):
    rule = EpochRatios(tuple(values), minimal)
    current = values[epoch - 1] if epoch <= len(values) else values[-1]
    assert kept(rule, n, epoch)[0] == kept(Ratio(current, minimal), n)[0]


def test_a_schedule_by_hand():
    rule = EpochRatios((1.0, 0.5, 0.29))
    assert [int(kept(rule, 100, epoch)[0]) for epoch in range(1, 6)] == [100, 50, 28, 28, 28]


def test_a_schedule_without_a_ratio_or_with_a_wrong_one_is_refused():
    with pytest.raises(
        ValueError, match="expected at least one ratio in a schedule of K, got none"
    ):
        EpochRatios(())
    with pytest.raises(ValueError, match="expected a ratio from 0 to 1"):
        EpochRatios((0.5, 1.5))


# Sizes of any kind.


def test_a_number_and_an_array_are_sizes_too():
    for size, expected in ((3, [3, 3]), (np.array([0, 5]), [0, 5]), (np.int64(2), [2, 2])):
        check_count(size)
        k = kept(size, 5, R=2)
        np.testing.assert_array_equal(k, expected)
        assert (type(k), k.dtype, k.shape) == (np.ndarray, np.int64, (2,))


@pytest.mark.parametrize(
    ("size", "everything", "partly"),
    [(5, True, True), (4, False, False), (np.array([5, 4]), False, True)],
)
def test_it_is_known_who_keeps_everything(size, everything, partly):
    of_five = counts_of(size, 5, 1, 2)
    assert (of_five.everything, of_five.partly_everything) == (everything, partly)


def test_a_rule_of_ones_own_knows_the_number_of_terms_and_the_epoch():
    def halves(n, epoch):
        return n // 2**epoch

    check_count(halves)
    assert isinstance(halves, CountRule)
    assert not any(isinstance(size, CountRule) for size in (3, np.array([3])))
    assert [int(kept(halves, 100, epoch)[0]) for epoch in (1, 2, 3)] == [50, 25, 12]


@pytest.mark.parametrize("size", [6, np.array([1, 6]), lambda n, epoch: n + 1])
def test_more_than_there_are_is_refused(size):
    with pytest.raises(
        ValueError, match="expected 0 <= K <= M = 5, got k = 6; lower k or enlarge the batch"
    ):
        counts_of(size, 5, 1, 2)


@pytest.mark.parametrize("size", [0.5, 2.0, -1, np.array([0.5]), np.array([2, -1]), True, "3"])
def test_what_is_no_number_of_terms_is_refused(size):
    with pytest.raises(ValueError, match="expected K to be an integer of at least 0, got k = "):
        check_count(size)
