"""The kernel table: reference = CPU spelling, for every present and future kernel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp.arrays.kernels import KERNELS, accumulate, gather, log_norms, select
from aopnp.arrays.kernels.log_norms import FLOOR
from aopnp.verify import spellings

# What BLAS does with 0 * inf is its affair.
LOOPS = {name: kernel for name, kernel in KERNELS.items() if kernel.jit}
EACH = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)


@EACH
@given(data=st.data())
def test_equals_its_reference(kernel, data):
    spellings.agree(kernel, *data.draw(spellings.arguments(kernel)))


@pytest.mark.parametrize("kernel", LOOPS.values(), ids=LOOPS)
@given(data=st.data())
def test_equals_its_reference_on_values_that_go_wrong(kernel, data):
    spellings.agree(kernel, *data.draw(spellings.arguments(kernel, special=True)))


@given(
    st.integers(1, 4),
    st.integers(1, 80),
    st.sampled_from([2, 5, 10**9]),
    st.sampled_from([0, 0.1]),
    st.integers(0, 10**6),
)
def test_select_among_many_rows_with_ties_and_nan(R, S, distinct, bad, seed):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, distinct, (R, S)).astype(float)
    keys[rng.random((R, S)) < bad] = np.nan
    keys[rng.random((R, S)) < bad] = -np.inf
    count = rng.integers(1, S + 1, R)
    noise, alpha, beta = (
        rng.integers(0, distinct, (1, S)).astype(float),
        rng.integers(0, 3, R),
        rng.integers(0, 2, R),
    )
    spellings.agree(select, [keys, noise, alpha * 1.0, beta * 1.0, count], {"K": int(count.max())})


def test_select_takes_ties_from_the_lower_row_and_nan_first_and_empty_slots_last():
    keys = np.array([[1.0, 3.0, np.nan, 3.0, -np.inf, np.inf]] * 2)
    noise, beta = np.zeros((1, 6)), np.zeros(2)
    with np.errstate(invalid="ignore"):  # 0 * inf, where the kernel runs as Python
        rows, weights = select(keys, noise, np.array([1.0, 0.0]), beta, np.array([6, 5]), K=6)
    # 0 * inf is NaN, 0 * -inf is not.
    np.testing.assert_array_equal(rows, [[2, 5, 1, 3, 0, 4], [2, 5, 0, 1, 3, 2]])
    np.testing.assert_array_equal(weights, [[1] * 6, [1] * 5 + [0]])


@pytest.mark.parametrize("spelling", [log_norms, log_norms.reference], ids=["cpu", "reference"])
def test_log_norms_neither_overflow_nor_hide_a_zero_row(spelling):
    x = np.array([[[1e19, 1e19], [0, 0], [3, 4], [np.nan, 0], [np.inf, 0]]], np.float32)
    g = np.array([[[1e19], [1], [2], [1], [1]]], np.float32)
    with np.errstate(all="ignore"):
        got = spelling(x, g)
    expected = [[np.log(1e19 * np.sqrt(2) * 1e19), FLOOR, np.log(10), np.nan, np.inf]]
    np.testing.assert_allclose(got, expected, rtol=1e-7)  # 1e19 is rounded to float32


def test_a_fresh_row_forgets_even_infinity():
    a, b = np.full((1, 2, 1), np.inf), np.full((1, 2, 1), np.nan)
    ones, fresh = np.ones((1, 2, 1)), np.array([[True, False]])
    with np.errstate(all="ignore"):
        norms = accumulate(a, b, ones, ones, np.zeros(1), fresh)
    assert (a[0, 0, 0], b[0, 0, 0], norms[0, 0]) == (1, 1, 0)
    assert np.isnan(norms[0, 1])


def test_gather_scales_one_factor_only():
    a, b = np.array([[[2.0], [3.0]]]), np.array([[[5.0], [7.0]]])
    kept = gather(a, b, np.array([[1, 0]]), np.array([[10.0, 0.0]]), np.array([1]))
    np.testing.assert_array_equal(kept, [[[[30.0], [0.0]]], [[[7.0], [0.0]]]])


def test_wrong_arguments_get_a_sentence():
    x, g = np.ones((2, 3, 4)), np.ones((2, 3, 5))
    with pytest.raises(TypeError, match=r"log_norms: expected g of dtype float64, got float32"):
        log_norms(x, g.astype(np.float32))
    with pytest.raises(TypeError, match=r"float32 or float64, got int64"):
        log_norms(x.astype(int), g.astype(int))
    with pytest.raises(
        ValueError, match=r"expected g of shape \[R, M, P\] with .*M = 3.*, got \(2, 2, 5\)"
    ):
        log_norms(x, g[:, :2].copy())
    with pytest.raises(ValueError, match=r"expected x of shape .*, got \(3, 3, 4\)"):
        log_norms(np.ones((3, 3, 4)), g)
    with pytest.raises(ValueError, match=r"expected g C-contiguous"):
        log_norms(x, np.ones((2, 5, 3)).swapaxes(1, 2))
    with pytest.raises(ValueError, match=r"expected x of shape"):
        log_norms(x[0], g)
