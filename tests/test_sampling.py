"""The sampling policies: unbiased, and off by exactly as much as the formulas say (approximate
matrix products)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp.arrays import to_device, to_host
from aopnp.arrays.cuda_sim import device as cuda_sim
from aopnp.arrays.kernels.log_norms import FLOOR
from aopnp.estimators.policies import (
    POLICIES,
    ClippedBernoulli,
    ColumnRowSampling,
    EnergySampling,
    EnergyTopK,
    bernoulli,
    bernoulli_reference,
    crs,
    crs_uniform,
    topk,
    uniform,
    wta,
)
from aopnp.estimators.policies.chances import mixed, relative, shares, uniforms
from aopnp.estimators.policies.clipped import clipped
from aopnp.estimators.policies.draws import width
from aopnp.estimators.policies.water_filled import water_filled
from aopnp.estimators.policies.winner_take_all import winners
from aopnp.verify import integers_in_floats, sampling
from aopnp.verify.sampling import gumbel_of, moments
from tests.devices import ON_DEVICES, need

SCALED = [name for name, policy in POLICIES.items() if policy.scaled]
A = np.array([[2.0, -1.0], [1.0, 3.0], [0.0, 0.0], [-1.0, 1.0], [4.0, 2.0], [0.0, 1.0]])
B = np.array(
    [
        [1.0, 2.0, 0.0],
        [-1.0, 0.0, 1.0],
        [5.0, 5.0, 5.0],
        [3.0, 0.0, 1.0],
        [2.0, 2.0, 1.0],
        [0.0, 0.0, 2.0],
    ]
)
C = A.T @ B
W = np.linalg.norm(A, axis=1) * np.linalg.norm(B, axis=1)
"""Six outer products, of which one is zero; their sum and their norms."""


def logs(w):
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(np.asarray(w, float)), FLOOR)


def water(w, k):
    return water_filled(np.array([w], float), np.array([k]))[0]


def clip(w, k, epsilon):
    return mixed(clipped(np.array([w], float), np.array([k])), np.zeros((1, len(w))), epsilon)[0]


def gumbel(*shape, seed=1):
    return np.random.default_rng(seed).gumbel(size=shape)


# Every outcome, with its probability.


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_water_filled_bernoulli_by_all_subsets(k):
    p = water(W, k)
    mean, error = moments(bernoulli, A, B, k, *sampling.independent_atoms(p))
    np.testing.assert_allclose(mean, C, atol=1e-12)
    assert error == pytest.approx(sampling.independent_error(W, p), rel=1e-12)
    assert p.sum() == pytest.approx(k)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_clipped_bernoulli_by_all_subsets(k, epsilon):
    p = clip(W, k, epsilon)
    mean, error = moments(ClippedBernoulli(epsilon), A, B, k, *sampling.independent_atoms(p))
    np.testing.assert_allclose(mean, C, atol=1e-12)
    assert error == pytest.approx(sampling.independent_error(W, p), rel=1e-12)


@pytest.mark.parametrize("k", [2, 5])
def test_the_reference_policy_is_biased_by_its_empty_draw_alone(k):
    noise, probability = sampling.independent_atoms(clip(W, k, 0.1))
    mean, error = moments(bernoulli_reference, A, B, k, noise, probability)
    empty = probability[-1]
    assert empty == pytest.approx(np.prod(1 - clip(W, k, 0.1)))
    first = np.einsum("i,ij,ik->jk", 1 / clip(W, k, 0.1)[:k], A[:k], B[:k])
    np.testing.assert_allclose(mean, C + empty * first, atol=1e-12)
    unbiased = sampling.independent_error(W, clip(W, k, 0.1))
    assert error == pytest.approx(
        unbiased + empty * (np.sum((first - C) ** 2) - np.sum(C**2)), rel=1e-12
    )


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_column_row_sampling_by_all_sequences(k, epsilon):
    P = (1 - epsilon) * W / W.sum() + epsilon / len(W)
    mean, error = moments(ColumnRowSampling(epsilon), A, B, k, *sampling.replacement_atoms(P, k))
    np.testing.assert_allclose(mean, C, atol=1e-12)
    assert error == pytest.approx(sampling.replacement_error(W, P, C, k), rel=1e-12)
    if epsilon == 0:
        assert error == pytest.approx((W.sum() ** 2 - np.sum(C**2)) / k, rel=1e-12)


@pytest.mark.parametrize("k", range(1, 7))
def test_uniform_sampling_by_all_orders(k):
    mean, error = moments(uniform, A, B, k, *sampling.permutation_atoms(6))
    np.testing.assert_allclose(mean, C, atol=1e-12)
    assert error == pytest.approx(sampling.uniform_error(W, C, k), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_winner_take_all_by_all_sequences_of_the_tail(k):
    order = np.argsort(-W, kind="stable")
    c = int(winners(W[None, order], np.array([k]))[0])
    P = np.where(np.arange(6) < c, 0, W[order])
    mean, error = moments(wta, A, B, k, *sampling.replacement_atoms(P / P.sum(), k, first=c))
    np.testing.assert_allclose(mean, C, atol=1e-12)
    C_tail = A[order[c:]].T @ B[order[c:]]
    assert error == pytest.approx(sampling.winner_error(W, C_tail, c, k), rel=1e-12)


def test_energy_sampling_by_all_sequences():
    P = 0.9 * W / W.sum() + 0.1 / 6
    share = np.sort(P)[::-1][:2].sum() + 1e-9  # three rows hold it
    mean, error = moments(EnergySampling(share), A, B, 1, *sampling.replacement_atoms(P, 3))
    np.testing.assert_allclose(mean, C, atol=1e-12)
    assert error == pytest.approx(sampling.replacement_error(W, P, C, 3), rel=1e-12)


@pytest.mark.parametrize("k", range(1, 7))
def test_the_error_of_topk_is_the_dropped_tail(k):
    _, error = moments(topk, A, B, k, np.zeros((1, 6)), np.ones(1))
    tail = np.argsort(-W, kind="stable")[k:]
    assert error == pytest.approx(np.sum((A[tail].T @ B[tail]) ** 2), abs=1e-12)


# Random noise, as training draws it: 30 000 draws as replicas of one call.

DRAWS = 30_000


def z_of(samples, expected):
    spread = samples.std(0) / np.sqrt(len(samples))
    return (samples.mean(0) - expected) / np.where(
        spread > 1e-12, spread, 1e-12 + (samples.mean(0) == expected)
    )


EXPECTED = {
    "bernoulli": lambda k: sampling.independent_error(W, water(W, k)),
    "wta": lambda k: wta_error(A, B, W, k),
    "crs": lambda k: sampling.replacement_error(W, W / W.sum(), C, k),
    "crs_uniform": lambda k: sampling.replacement_error(W, np.full(6, 1 / 6), C, k),
    "uniform": lambda k: sampling.uniform_error(W, C, k),
    "bernoulli_clipped": lambda k: sampling.independent_error(W, clip(W, k, 0)),
}


def wta_error(a, b, w, k):
    order = np.argsort(-w, kind="stable")
    c = int(winners(w[None, order], np.array([k]))[0])
    return sampling.winner_error(w, a[order[c:]].T @ b[order[c:]], c, k)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_mean_and_mean_square_error_of_random_draws(name, k):
    samples = sampling.estimates(POLICIES[name], A, B, k, gumbel(DRAWS, 6))
    assert np.abs(z_of(samples, C)).max() < 4.5
    assert abs(z_of(np.sum((samples - C) ** 2, (1, 2)), EXPECTED[name](k))) < 4.5


def test_every_scaled_policy_is_unbiased():
    assert set(SCALED) == set(EXPECTED) | {"bernoulli_reference", "energy_sampling"}
    for name in SCALED:
        # At k = 5 the reference policy draws nothing with a probability that 30 000 draws do not
        # see.
        samples = sampling.estimates(POLICIES[name], A, B, 5, gumbel(DRAWS, 6, seed=3))
        assert np.abs(z_of(samples, C)).max() < 4.5, name


def test_unscaled_policies_say_so():
    assert [name for name in POLICIES if name not in SCALED] == [
        "topk", "weightedk", "randk", "weighted", "firstk", "energy",
    ]  # fmt: skip


# The example of the specification: A = diag(w), B = 1, w_i = 100 * 0.9^i, i = 0 .. 39, k = 20.

EXAMPLE = 100 * 0.9 ** np.arange(40)
DIAGONAL, UNIT = np.diag(EXAMPLE), np.eye(40)
ERRORS = {
    "crs": (
        45901.83,
        lambda: sampling.replacement_error(EXAMPLE, EXAMPLE / EXAMPLE.sum(), DIAGONAL, 20),
    ),
    "uniform": (52620.08, lambda: sampling.uniform_error(EXAMPLE, DIAGONAL, 20)),
    "wta": (9360.81, lambda: wta_error(DIAGONAL, UNIT, EXAMPLE, 20)),
    "bernoulli_clipped": (
        10804.32,
        lambda: sampling.independent_error(EXAMPLE, clip(EXAMPLE, 20, 0)),
    ),
    "bernoulli_reference": (
        17485.18,
        lambda: sampling.independent_error(EXAMPLE, clip(EXAMPLE, 20, 0.1)),
    ),
    "bernoulli": (4763.91, lambda: sampling.independent_error(EXAMPLE, water(EXAMPLE, 20))),
    "topk": (766.44, lambda: np.sum(EXAMPLE[20:] ** 2)),
}
SIZES = {
    "bernoulli_clipped": (16.409, lambda: clip(EXAMPLE, 20, 0)),
    "bernoulli_reference": (14.868, lambda: clip(EXAMPLE, 20, 0.1)),
    "bernoulli": (20.000, lambda: water(EXAMPLE, 20)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_worked_example(name):
    published, formula = ERRORS[name]
    assert formula() == pytest.approx(published, abs=0.006)
    # |estimate - C|^2 of a diagonal matrix: nothing needs to be multiplied out.
    selection = POLICIES[name](
        np.tile(logs(EXAMPLE), (4000, 1)), gumbel(4000, 40, seed=7), np.full(4000, 20)
    )
    scale = np.zeros((4000, 40))
    np.add.at(scale, (np.arange(4000)[:, None], selection.rows), selection.weights)
    errors = ((scale - 1) ** 2 * EXAMPLE**2).sum(-1)
    assert abs(z_of(errors, formula())) < 4.5 or np.ptp(errors) < 1e-6
    assert errors.mean() == pytest.approx(formula(), rel=0.1)


@pytest.mark.parametrize("name", SIZES)
def test_how_many_rows_the_example_keeps(name):
    published, chances = SIZES[name]
    assert chances().sum() == pytest.approx(published, abs=0.0006)
    kept = POLICIES[name](
        np.tile(logs(EXAMPLE), (4000, 1)), gumbel(4000, 40, seed=8), np.full(4000, 20)
    ).count
    assert abs(z_of(kept, chances().sum())) < 4.5


def test_winner_take_all_keeps_eleven_rows_of_the_example():
    assert winners(EXAMPLE[None], np.array([20])) == 11
    selection = wta(logs(EXAMPLE)[None], gumbel(1, 40), np.array([20]))
    np.testing.assert_array_equal(selection.rows[0, :11], np.arange(11))
    np.testing.assert_array_equal(selection.weights[0, :11], np.ones(11))
    assert (selection.rows[0, 11:] >= 11).all()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9), st.data())
def test_the_number_of_winners_minimises_the_tail(scores, data):
    k, w = data.draw(st.integers(1, len(scores))), np.sort(np.array(scores))[::-1]
    c = int(winners(w[None], np.array([k]))[0])
    if np.count_nonzero(w) <= k:
        assert c == np.count_nonzero(w)
    else:
        ratios = [w[i:].sum() / (k - i) for i in range(k)]
        assert ratios[c] <= min(ratios) * (1 + 1e-12)


def test_sampling_forward_minimises_a_ridge_objective():
    """Back-propagation through one sample: E gradient = 2 X^T (X w - y) + 2 diag((1 - p) / p
    |X_i|^2) w."""
    rng = np.random.default_rng(5)
    X, y, w = rng.integers(-3, 4, (7, 5)).astype(float), rng.normal(size=7), rng.normal(size=5)
    lengths = np.linalg.norm(X, axis=0)
    log_norms = logs(lengths * np.abs(w))[None]
    p = water(np.exp(log_norms[0]), 2)
    noise, probability = sampling.independent_atoms(p)
    selection = bernoulli(np.tile(log_norms, (len(noise), 1)), noise, np.full(len(noise), 2))
    b = np.zeros((len(noise), 5))
    np.add.at(b, (np.arange(len(noise))[:, None], selection.rows), selection.weights)
    off = (b * w) @ X.T - y
    objective = probability @ np.sum(off**2, 1)
    ridge = (1 - p) / p * lengths**2
    assert objective == pytest.approx(np.sum((X @ w - y) ** 2) + ridge @ w**2, rel=1e-12)
    gradient = probability @ (2 * b * (off @ X))
    np.testing.assert_allclose(gradient, 2 * X.T @ (X @ w - y) + 2 * ridge * w, rtol=1e-10)
    assert not np.allclose(gradient, 2 * X.T @ (X @ w - y), rtol=0.05)


# Water-filling.

scores = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 1.0, 3.0]), st.floats(1e-6, 1e6)), min_size=1, max_size=12
)


@given(scores, st.data())
def test_water_filling_meets_its_optimality_conditions(scores, data):
    """Minimise sum of w^2 / p under sum of p = k, p <= 1: w / p is one constant c where p < 1, and
    w >= c elsewhere."""
    w, k = np.array(scores), data.draw(st.integers(1, len(scores) + 2))
    p = water(w, k)
    reachable = min(k, np.count_nonzero(w))
    assert p.sum() == pytest.approx(reachable, rel=1e-9, abs=1e-12)
    assert ((p == 0) == (w == 0)).all()
    assert (p <= 1).all()
    if k >= np.count_nonzero(w):
        assert (p[w > 0] == 1).all()
    inner = (p > 0) & (p < 1)
    if inner.any():
        c = w[inner] / p[inner]
        np.testing.assert_allclose(c, c[0], rtol=1e-9)
        assert (w[p == 1] >= c[0] * (1 - 1e-9)).all()


@given(scores, st.integers(1, 12))
def test_no_other_probabilities_of_that_sum_have_a_smaller_error(scores, k):
    w = np.array(scores)
    p = water(w, k)
    best = sampling.independent_error(w, p)
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = water(np.where(w > 0, w * rng.uniform(0.5, 2, len(w)), 0), k)
        assert best <= sampling.independent_error(w, other) * (1 + 1e-9) + 1e-9


def test_replicas_with_other_k_and_scores_do_not_meet():
    w = np.array([[4.0, 1, 1, 0], [1, 2, 3, 4], [0, 0, 0, 0]])
    p = water_filled(w, np.array([2, 3, 4]))
    np.testing.assert_allclose(p, [[1, 0.5, 0.5, 0], water(w[1], 3), [0, 0, 0, 0]])


# Edges.


@pytest.mark.parametrize("name", SCALED)
def test_a_scaled_policy_refuses_to_draw_nothing(name):
    with pytest.raises(ValueError, match="k >= 1 of a policy that rescales"):
        POLICIES[name](np.zeros((2, 3)), gumbel(1, 3), np.array([1, 0]))


@pytest.mark.parametrize(
    "name", [name for name in POLICIES if name not in SCALED and name != "energy"]
)
def test_an_unscaled_policy_may_keep_nothing(name):
    selection = POLICIES[name](np.zeros((2, 3)), gumbel(1, 3), np.array([0, 0]))
    assert selection.rows.shape == (2, 1)
    np.testing.assert_array_equal(selection.count, [0, 0])
    np.testing.assert_array_equal(selection.weights, [[0], [0]])
    assert not selection.mask(3).any()


@pytest.mark.parametrize("name", POLICIES)
def test_lists_are_whole(name):
    """Rows are indices, weights are positive, and zero where a shorter list is padded; every count
    is reached."""
    rng = np.random.default_rng(2)
    log_norms = np.where(rng.random((40, 7)) < 0.3, FLOOR, rng.normal(size=(40, 7)) * 3)
    selection = POLICIES[name](log_norms, gumbel(40, 7), rng.integers(1, 8, 40))
    assert selection.rows.dtype == selection.count.dtype == np.int64
    assert ((selection.rows >= 0) & (selection.rows < 7)).all()
    listed = np.arange(selection.rows.shape[1]) < selection.count[:, None]
    assert np.isfinite(selection.weights).all()
    np.testing.assert_array_equal(selection.weights > 0, listed)
    np.testing.assert_array_equal(
        selection.rows[~listed], np.broadcast_to(selection.rows[:, :1], listed.shape)[~listed]
    )


@pytest.mark.parametrize("name", [*EXPECTED, "bernoulli_reference"])
def test_zero_scores_have_no_probability_unless_it_is_mixed_in(name):
    log_norms = np.tile([FLOOR, 1.0, FLOOR, 2.0, 0.0, FLOOR], (500, 1))
    drawn = POLICIES[name](log_norms, gumbel(500, 6), np.full(500, 2)).mask(6)[:, [0, 2, 5]]
    assert drawn.any() == (name in ("crs_uniform", "uniform", "bernoulli_reference"))


@pytest.mark.parametrize("name", ["bernoulli", "wta", "crs", "bernoulli_clipped"])
def test_no_scores_at_all_draw_nothing(name):
    selection = POLICIES[name](np.full((2, 3), FLOOR), gumbel(2, 3), np.array([2, 3]))
    np.testing.assert_array_equal(selection.count, [0, 0])
    assert (selection.weights == 0).all()


def test_the_reference_policy_is_exact_where_there_are_no_scores():
    selection = bernoulli_reference(
        np.array([[FLOOR, FLOOR, -np.inf]]), gumbel(1, 3), np.array([1])
    )
    np.testing.assert_array_equal(selection.rows[0, :2], [0, 1])
    np.testing.assert_array_equal(selection.weights, [[1, 1, 0]])


def test_an_empty_draw_is_a_zero_estimate():
    high = gumbel_of(np.full((1, 6), 1 - 1e-9))
    assert (sampling.estimates(bernoulli, A, B, 1, high)[0] == 0).sum() == C.size
    low = POLICIES["bernoulli"](logs(W)[None], high, np.array([1]))
    assert (low.count, low.mask(6).any()) == (0, False)


@pytest.mark.parametrize("name", ["bernoulli", "wta", "bernoulli_clipped"])
def test_equal_scores_and_one_row(name):
    p = POLICIES[name](np.zeros((1, 1)), gumbel(1, 1), np.array([1]))
    assert (p.rows[0, 0], p.weights[0, 0], p.count[0]) == (0, 1, 1)
    every = POLICIES[name](np.full((1, 49), -3.7), gumbel(1, 49), np.array([49]))
    np.testing.assert_array_equal(every.rows, [np.arange(49)])
    np.testing.assert_allclose(every.weights, np.ones((1, 49)), rtol=1e-12)


@pytest.mark.parametrize("name", ["bernoulli", "wta"])
def test_as_many_as_there_are_scores_keep_them_all(name):
    log_norms = np.array([[3.0, FLOOR, 0.1, -40.0, FLOOR]])
    for k in (3, 4):
        selection = POLICIES[name](log_norms, gumbel(1, 5), np.array([k]))
        assert sorted(selection.rows[0, :3]) == [0, 2, 3]
        np.testing.assert_array_equal(selection.weights[0, :3], np.ones(3))
        assert selection.count[0] == 3


@pytest.mark.parametrize("name", SCALED)
def test_scores_of_any_size_draw_alike(name):
    """w may overflow and underflow; only ratios count."""
    log_norms, noise, k = np.array([[1.0, 0.0, 2.0, -1.0]]), gumbel(1, 4), np.array([2])
    first = POLICIES[name](log_norms, noise, k)
    for shift in (500.0, 1400.0, -600.0):
        other = POLICIES[name](log_norms + shift, noise, k)
        np.testing.assert_array_equal(first.rows, other.rows)
        np.testing.assert_allclose(first.weights, other.weights, rtol=1e-9)


def test_kept_rows_come_in_increasing_order():
    rng = np.random.default_rng(0)
    for name in ("uniform", "bernoulli", "bernoulli_clipped", "bernoulli_reference"):
        selection = POLICIES[name](rng.normal(size=(50, 20)), gumbel(50, 20), np.full(50, 6))
        for rows, count in zip(selection.rows, selection.count, strict=True):
            assert (np.diff(rows[:count]) > 0).all()


@pytest.mark.parametrize(("k", "n"), [(1, 64), (8, 64), (32, 4096), (1000, 10**6)])
def test_a_list_overflows_with_a_probability_below_1e_15(k, n):
    from scipy import stats

    most = width(np.array([k]), n)
    assert most <= n
    if most < n:
        # of all sums of independent 0/1 variates with mean k the binomial has the heaviest tail
        # beyond k + 1
        assert stats.binom.sf(most, n, k / n) < 1e-15
        assert most < k + 9 * np.sqrt(k) + 32


def test_a_list_that_overflows_is_cut_and_not_written_beyond():
    low = gumbel_of(np.full((1, 400), 1e-6))  # every row is kept
    selection = bernoulli(np.zeros((1, 400)), low, np.array([2]))
    assert selection.count[0] == selection.rows.shape[1] == width(np.array([2]), 400) < 400
    np.testing.assert_array_equal(selection.rows[0], np.arange(selection.count[0]))


def test_the_largest_uniform_variate_points_at_a_row_with_a_chance():
    log_norms = np.array([[0.1, 0.3, FLOOR, FLOOR]])
    selection = crs(log_norms, np.full((1, 4), 60.0), np.array([2]))
    np.testing.assert_array_equal(selection.rows, [[1, 1]])
    assert uniforms(np.full(1, 60.0)) == 1


def test_the_smallest_uniform_variate_keeps_no_row_without_a_chance():
    selection = bernoulli(np.array([[0.1, FLOOR, -np.inf]]), np.full((1, 3), -60.0), np.array([1]))
    assert (selection.rows[0, 0], selection.count[0]) == (0, 1)
    assert uniforms(np.full(1, -60.0)) == 0


def test_clipping_asks_for_at_most_as_many_rows_as_have_scores():
    np.testing.assert_allclose(clip([3, 1, 0, 0], 3, 0), [1, 0.5, 0, 0])
    high = gumbel_of(np.full((1, 3), 1 - 1e-9))
    fallback = bernoulli_reference(np.array([[0.0, FLOOR, FLOOR]]), high, np.array([2]))
    assert (fallback.rows[0, 0], fallback.count[0]) == (0, 1)


# Energy.


@given(scores, st.floats(0.01, 1.0), st.data())
def test_energy_keeps_the_smallest_number_that_holds_its_share(scores, share, data):
    w, k = np.array(scores), data.draw(st.integers(1, len(scores)))
    selection = EnergyTopK(share)(logs(w)[None], gumbel(1, len(w)), np.array([k]))
    count = int(selection.count[0])
    sums = np.concatenate([[0], np.cumsum(np.sort(w)[::-1])])
    assert count == len(w) or sums[count] >= share * sums[-1] * (1 - 1e-9)
    assert count == k or sums[count - 1] <= share * sums[-1] * (1 + 1e-9)
    expected = topk(logs(w)[None], gumbel(1, len(w)), np.array([count]))
    np.testing.assert_array_equal(selection.rows[:, :count], expected.rows)
    if share == 1:
        assert count == len(w)


def test_a_share_of_one_keeps_all_and_each_replica_may_have_its_own():
    log_norms = np.log([[8.0, 4, 2, 1]] * 3)
    selection = EnergyTopK(np.array([1.0, 0.75, 0.1]))(log_norms, gumbel(1, 4), np.array([1, 1, 2]))
    np.testing.assert_array_equal(selection.count, [4, 2, 2])
    equal = EnergyTopK(np.array([0.5, 0.51]))(np.zeros((2, 4)), gumbel(1, 4), np.array([1, 1]))
    np.testing.assert_array_equal(equal.count, [2, 3])
    with_zeros = EnergyTopK(1.0)(
        np.array([[0.0, FLOOR, -np.inf, FLOOR]]), gumbel(1, 4), np.array([1])
    )
    np.testing.assert_array_equal(with_zeros.rows[0, : with_zeros.count[0]], [0, 1, 3])
    with pytest.raises(ValueError, match="share above 0"):
        EnergyTopK(0.0)
    with pytest.raises(ValueError, match="share above 0"):
        EnergySampling(1.5)


# Replicas and devices.

ALL = {**POLICIES, "crs_mixed": ColumnRowSampling(0.1), "energy_half": EnergyTopK(0.5)}


@given(st.sampled_from(sorted(ALL)), st.integers(1, 9), st.integers(1, 5), st.integers(0, 10**6))
def test_stacked_replicas_draw_as_each_alone(name, n, R, seed):
    rng = np.random.default_rng(seed)
    log_norms = np.log(rng.integers(0, 4, (R, n)) + 1e-300).clip(FLOOR)
    noise, k = rng.gumbel(size=(rng.choice([1, R]), n)), rng.integers(1, n + 1, R)
    stacked = ALL[name](log_norms, noise, k)
    for r in range(R):
        alone = ALL[name](log_norms[r : r + 1], noise[r % len(noise) :][:1], k[r : r + 1])
        count = int(alone.count[0])
        assert count == stacked.count[r]
        np.testing.assert_array_equal(alone.rows[0, :count], stacked.rows[r, :count])
        np.testing.assert_array_equal(alone.weights[0, :count], stacked.weights[r, :count])


@pytest.mark.parametrize("kind", [ColumnRowSampling, ClippedBernoulli])
def test_replicas_may_have_an_epsilon_each(kind):
    log_norms, noise = np.tile(logs(W), (3, 1)), gumbel(1, 6)
    stacked = kind(np.array([0.0, 0.5, 1.0]))(log_norms, noise, np.array([3, 2, 3]))
    for r, (epsilon, k) in enumerate([(0.0, 3), (0.5, 2), (1.0, 3)]):
        alone = kind(epsilon)(log_norms[:1], noise, np.array([k]))
        listed = slice(int(alone.count[0]))
        np.testing.assert_array_equal(stacked.rows[r, listed], alone.rows[0, listed])
        np.testing.assert_array_equal(stacked.weights[r, listed], alone.weights[0, listed])


@ON_DEVICES
@pytest.mark.parametrize("name", ALL)
def test_a_device_draws_the_same_rows_and_is_not_waited_for(name, device):
    need(device)
    rng = np.random.default_rng(4)
    log_norms = np.log(rng.integers(0, 4, (5, 30)) + 1e-300).clip(FLOOR)
    log_norms[1, 3], log_norms[2, 4], log_norms[3, :9] = np.nan, np.inf, -np.inf
    noise, k = gumbel(5, 30), np.array([3, 1, 2, 8, 30])
    expected = ALL[name](log_norms, noise, k)
    arrays = [to_device(x, device) for x in (log_norms, noise)]
    with cuda_sim.no_waiting():
        got = ALL[name](*arrays, k)
    tolerance = 0 if device == "cuda-sim" else 1e-12
    np.testing.assert_array_equal(to_host(got.rows), expected.rows)
    np.testing.assert_array_equal(to_host(got.count), expected.count)
    np.testing.assert_allclose(to_host(got.weights), expected.weights, rtol=tolerance)


@given(
    integers_in_floats((6, 2)),
    integers_in_floats((6, 3)),
    st.integers(1, 6),
    st.sampled_from(sorted(EXPECTED)),
)
def test_unbiased_whatever_the_factors_are(a, b, k, name):
    """4000 draws: a mean that is off by 6 standard errors, in one of 6 entries, is no accident."""
    samples = sampling.estimates(POLICIES[name], a, b, k, gumbel(4000, 6, seed=11))
    off = np.abs(samples.mean(0) - a.T @ b)
    assert (off <= 6 * samples.std(0) / np.sqrt(4000) + 1e-9).all()


def test_uniform_sampling_with_empty_slots_counts_the_others():
    log_norms = np.array([[1.0, -np.inf, 0.0, -np.inf, 2.0]])
    selection = uniform(log_norms, gumbel(1, 5), np.array([2]))
    assert set(selection.rows[0]) < {0, 2, 4}
    np.testing.assert_array_equal(selection.weights, [[1.5, 1.5]])


def test_shares_and_relative_scores():
    log_norms = np.array([[np.log(2), 0.0, FLOOR, -np.inf], [np.nan, 5.0, np.inf, 0.0]])
    np.testing.assert_allclose(relative(log_norms), [[1, 0.5, 0, 0], [1, 0, 1, 0]])
    np.testing.assert_allclose(
        shares(relative(log_norms)), [[2 / 3, 1 / 3, 0, 0], [0.5, 0, 0.5, 0]]
    )
    third = [0.9 * 2 / 3 + 0.1 / 3, 0.9 / 3 + 0.1 / 3, 0.1 / 3, 0]
    np.testing.assert_allclose(
        mixed(shares(relative(log_norms)), log_norms, 0.1), [third, [0.5, 0, 0.5, 0]]
    )
    assert crs_uniform.epsilon == 1
