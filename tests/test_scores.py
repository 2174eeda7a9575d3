"""The scores: which norms they take, of which entries, on views and on devices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp.arrays import to_device, to_host
from aopnp.arrays.cuda_sim import device as cuda_sim
from aopnp.arrays.kernels import log_norms
from aopnp.arrays.kernels.log_norms import FLOOR
from aopnp.estimators.policies import bernoulli
from aopnp.estimators.scores import SCORES, Norms, OnePixel, SecondNorms, WindowNorms
from aopnp.estimators.scores.score import starts
from tests.devices import ON_DEVICES, need


def gumbel(*shape, seed=1):
    return np.random.default_rng(seed).gumbel(size=shape)


def norm(x, axes=-1):
    return np.sqrt(np.sum(np.square(x, dtype=float), axis=axes))


def images(R=3, shared=False, seed=0):
    """Channels of images [R or 1, C, M, H, W] as a view of channels-last memory, and of kernels [R,
    C, P, T]."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, (1 if shared else R, 2, 3, 4, 5)).astype(np.float32)
    w = rng.integers(-4, 5, (R, 6, 7, 5)).astype(np.float32)
    return np.moveaxis(x, -1, 1), np.moveaxis(w, -1, 1)


@pytest.mark.parametrize("shared", [False, True])
def test_norms_are_frobenius_norms_over_any_number_of_axes(shared):
    a, b = images(shared=shared)
    expected = np.log(norm(a, (2, 3, 4)) * norm(b, (2, 3)))
    np.testing.assert_allclose(Norms()(a, b, gumbel(1, 5)), expected, rtol=1e-12)


def test_norms_of_plain_rows_are_the_kernels():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 4))
    np.testing.assert_array_equal(Norms()(a, b, gumbel(1, 5)), log_norms(a, b))


def test_second_norms_do_not_look_at_the_first_factor():
    a, b = images()
    got = SecondNorms()(np.full_like(a, np.nan), b, gumbel(1, 5))
    np.testing.assert_allclose(got, np.log(norm(b, (2, 3))), rtol=1e-12, atol=1e-12)


@given(
    st.integers(1, 15),
    st.integers(1, 15),
    st.integers(1, 12),
    st.integers(0, 10**6),
    st.booleans(),
    st.booleans(),
)
def test_a_window_is_contiguous_and_inside(N, P, width, seed, shared, one_noise):
    """Powers of two that a square tells apart: the score says which entries were looked at."""
    R, n = 3, 4
    a = np.tile(2.0 ** np.arange(N), (1 if shared else R, n, 1))
    b = np.tile(2.0 ** np.arange(P), (R, n, 1))
    noise = gumbel(1 if one_noise else R, n, seed=seed)
    windows = [
        [norm(2.0 ** np.arange(s, s + min(width, D))) for s in range(max(D - width, 0) + 1)]
        for D in (N, P)
    ]
    possible = np.log(np.multiply.outer(*windows)).ravel()
    got = WindowNorms(width)(a, b, noise)
    assert got.shape == (R, n)
    assert (np.abs(got[..., None] - possible).min(-1) < 1e-9).all()
    # One window for all rows.
    np.testing.assert_array_equal(got, np.broadcast_to(got[:, :1], (R, n)))


def test_all_windows_are_equally_likely_and_those_of_the_factors_independent():
    R = 6000
    a = np.tile(2.0 ** np.arange(5), (1, 3, 1))
    b = np.tile(2.0 ** np.arange(0, 40, 10), (R, 3, 1))
    got = WindowNorms(2)(a, b, gumbel(R, 3))[:, 0]
    values, counts = np.unique(np.round(got, 6), return_counts=True)
    assert len(values) == 4 * 3
    assert np.abs((counts / R - 1 / 12) / np.sqrt(11 / 144 / R)).max() < 4


def test_a_window_runs_over_trailing_axes_without_copying():
    a, b = images()
    noise = gumbel(3, 5)
    a_flat, b_flat = (np.ascontiguousarray(x).reshape(3, 5, -1) for x in (a, b))
    np.testing.assert_array_equal(
        WindowNorms(10)(a, b, noise), WindowNorms(10)(a_flat, b_flat, noise)
    )


def test_rows_shorter_than_a_window_are_taken_whole():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 10))
    np.testing.assert_array_equal(WindowNorms()(a, b, gumbel(2, 5)), log_norms(a, b))
    with pytest.raises(ValueError, match="at least one entry"):
        WindowNorms(0)


@pytest.mark.parametrize("shared", [False, True])
def test_one_pixel_is_one_index_of_each_last_axis(shared):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1 if shared else 40, 3, 2, 7)), rng.normal(size=(40, 3, 4, 9))
    got = OnePixel()(a, b, gumbel(40, 3))
    places = np.log(norm(a, 2)[..., :, None] * norm(b, 2)[..., None, :])  # [R, n, L, T]
    found = np.abs(got[..., None, None] - places).reshape(40, 3, -1) < 1e-12
    assert (found.sum(-1) == 1).all()
    chosen = found.argmax(-1)
    assert (chosen == chosen[:, :1]).all()
    assert len(np.unique(chosen)) > 20  # of 63 pairs: the two places do not go together
    assert len(np.unique(chosen // 9)) == 7
    assert len(np.unique(chosen % 9)) == 9


def test_starts_are_uniform_and_independent_of_what_the_policy_decides():
    """A score that shared its digits with the policy's would bias the estimate: here the window of
    4 decides little."""
    noise = gumbel(60_000, 2, seed=5)
    place = starts(noise, 0, 4)
    low = np.exp(-np.exp(-noise[:, 0])) < 0.3
    table = np.array([[np.sum(low[place == i]), np.sum(~low[place == i])] for i in range(4)])
    expected = np.outer([0.25] * 4, [0.3, 0.7])
    z = (table / len(noise) - expected) / np.sqrt(expected * (1 - expected) / len(noise))
    assert np.abs(z).max() < 4
    assert (place.min(), place.max()) == (0, 3)


def test_an_unbiased_policy_stays_unbiased_with_a_random_score():
    """E estimate = a^T b although the window is drawn from the noise that the policy is given."""
    rng = np.random.default_rng(3)
    R, a, b = (
        40_000,
        rng.integers(-3, 4, (4, 6)).astype(float),
        rng.integers(1, 4, (4, 5)).astype(float),
    )
    noise = gumbel(R, 4, seed=9)
    scores = WindowNorms(2)(np.tile(a, (R, 1, 1)), np.tile(b, (R, 1, 1)), noise)
    scores = np.maximum(scores, 0.0)  # a window may be zero where the row is not
    selection = bernoulli(scores, noise, np.full(R, 2))
    scale = np.zeros((R, 4))
    np.add.at(scale, (np.arange(R)[:, None], selection.rows), selection.weights)
    samples = np.einsum("rn,ni,nj->rij", scale, a, b)
    z = (samples.mean(0) - a.T @ b) / (samples.std(0) / np.sqrt(R) + 1e-12)
    assert np.abs(z).max() < 4


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_floored_and_neither_overflow_nor_hide(name):
    a = np.zeros((1, 4, 3, 12), np.float32)
    a[0, 1], a[0, 2], a[0, 3] = 1e30, np.nan, np.inf
    b = np.ones((1, 4, 12, 3), np.float32)
    b[0, 0] = 0
    with np.errstate(all="ignore"):
        got = SCORES[name](a, b, gumbel(1, 4))[0]
    assert got[0] == FLOOR
    if name != "second":
        assert np.isfinite(got[1])
        assert got[1] > 60
        assert np.isnan(got[2])
        assert got[3] == np.inf


@ON_DEVICES
@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("shared", [False, True])
def test_a_device_scores_the_same_and_is_not_waited_for(name, shared, device):
    need(device)
    a, b = images(shared=shared)
    noise = gumbel(3, 5)
    expected = SCORES[name](a, b, noise)
    # views on the device, too
    x, w = (np.ascontiguousarray(np.moveaxis(x, 1, -1)) for x in (a, b))
    x, w, ours = to_device(x, device), to_device(w, device), to_device(noise, device)
    xp = cuda_sim if device == "cuda-sim" else __import__("cupy")
    with cuda_sim.no_waiting():
        got = SCORES[name](xp.moveaxis(x, -1, 1), xp.moveaxis(w, -1, 1), ours)
    np.testing.assert_allclose(to_host(got), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_stacked_replicas_score_as_each_alone(name):
    a, b = images()
    noise = gumbel(3, 5)
    stacked = SCORES[name](a, b, noise)
    for r in range(3):
        each = slice(r, r + 1)
        np.testing.assert_array_equal(stacked[each], SCORES[name](a[each], b[each], noise[each]))


def test_what_scoring_costs():
    assert Norms().flops(5, 30, 20) == 2 * 5 * 50
    assert SecondNorms().flops(5, 30, 20) == 2 * 5 * 20
    assert WindowNorms(10).flops(5, 30, 4) == 2 * 5 * 14
    np.testing.assert_array_equal(
        WindowNorms(10).flops(5, np.array([3.0, 30.0]), 20), [2 * 5 * 13, 2 * 5 * 20]
    )


@given(st.integers(1, 3), st.booleans(), st.integers(0, 10**6))
def test_norms_of_columns_are_those_of_the_transposed_rows(R, shared, seed):
    """Where the terms lie as columns of both factors they are not transposed; zero columns
    included."""
    rng = np.random.default_rng(seed)
    x, w = (
        rng.integers(-3, 4, (1 if shared else R, 5, 2, 4)) * 1.0,
        rng.integers(-3, 4, (R, 3, 2, 4)) * 1.0,
    )
    x[..., 1] = 0
    a, b = np.moveaxis(x, -1, 1), np.moveaxis(w, -1, 1)
    rows = Norms()(np.ascontiguousarray(a), np.ascontiguousarray(b), np.zeros((1, 4)))
    np.testing.assert_allclose(Norms()(a, b, np.zeros((1, 4))), rows, rtol=0, atol=1e-13)
