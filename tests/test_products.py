"""The products that are no sub-sum: truncation and random walks."""

from itertools import product

import numpy as np
import pytest

from aopnp.verify.comparison import LowRank, random_walks


def test_full_rank_is_exact_and_lower_rank_truncates_each_factor():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 6, 5))
    np.testing.assert_allclose(LowRank(A, B)(6), A @ B, atol=1e-12)
    assert np.linalg.matrix_rank(LowRank(A, B)(2)).tolist() == [2, 2]
    C = A[:, :, :2] @ A[:, :, :2].swapaxes(1, 2)  # rank 2 already
    np.testing.assert_allclose(LowRank(C, B[:, :4])(4), C @ B[:, :4], atol=1e-12)
    np.testing.assert_allclose(LowRank(C, np.tile(np.eye(4), (2, 1, 1)))(4), C, atol=1e-12)


def test_one_singular_value_at_a_time():
    A, B = np.diag([3.0, 2.0, 1.0])[None], np.diag([1.0, 5.0, 7.0])[None]
    # The largest ones do not meet.
    np.testing.assert_allclose(LowRank(A, B)(1), np.zeros((1, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(LowRank(A, B)(2), np.diag([0.0, 10, 0])[None], atol=1e-12)


A = np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 0.0]])
B = np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])


def test_walks_are_unbiased():
    """A grid over both steps is every walk, equally likely: its mean is the product."""
    grid = (np.arange(60) + 0.5) / 60  # every chance here is a multiple of 1 / 60
    uniforms = np.array(list(product(grid, grid)))
    got = random_walks(A[None], B[None], np.broadcast_to(uniforms, (1, 3, 3600, 2)).copy())[0]
    np.testing.assert_allclose(got, A @ B, atol=1e-12)


def test_the_error_of_random_walks():
    """E|error|^2 = sum over rows of (W1^2 - |C_i|^2) / walks."""
    rng, S = np.random.default_rng(1), 5
    C, W1 = A @ B, A @ B.sum(-1)
    got = random_walks(
        np.tile(A, (20_000, 1, 1)), np.tile(B, (20_000, 1, 1)), rng.random((20_000, 3, S, 2))
    )
    errors = np.sum((got - C) ** 2, (1, 2))
    expected = np.sum(W1**2 - np.sum(C**2, -1)) / S
    assert abs(errors.mean() - expected) < 4 * errors.std() / np.sqrt(len(errors))


def test_negative_entries_are_refused():
    with pytest.raises(
        ValueError, match=r"expected nonnegative matrices .* got entries down to -3"
    ):
        random_walks(-A[None], B[None], np.zeros((1, 3, 1, 2)))
