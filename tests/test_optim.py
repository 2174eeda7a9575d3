"""SGD, momentum and schedules against the formulas written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import SGD, Cosine, OuterProducts, Parameter, Step, StepDecay, WarmUp
from aopnp.outer_products import SideBySide, add_scaled, dense


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.5, True)])
def test_sgd_is_its_formula(momentum, nesterov):
    rng = np.random.default_rng(0)
    lr = np.array([0.5, 0.25])
    optimiser = SGD(lr, momentum, nesterov=nesterov, schedule=StepDecay(2, 0.5))
    parameter = Parameter(rng.normal(size=(2, 3, 4)))
    w, v = parameter.value.copy(), np.zeros((2, 3, 4))
    for t in range(5):
        gradient = parameter.grad = rng.normal(size=(2, 3, 4))
        optimiser.update([parameter], Step(t, optimiser.lr(t)))
        v = momentum * v + gradient
        direction = gradient + momentum * v if nesterov else v
        w = w - (lr * 0.5 ** (t // 2))[:, None, None] * direction
        np.testing.assert_allclose(parameter.value, w, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_factored_gradient_moves_the_weights_as_its_matrix_does(momentum):
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 4, (2, 3, 4)).astype(float)
    factored, plain = Parameter(values.copy()), Parameter(values.copy())
    optimisers = SGD(0.5, momentum), SGD(0.5, momentum)
    for t in range(3):
        a, b = rng.integers(-3, 4, (2, 5, 3)).astype(float), rng.integers(-3, 4, (2, 5, 4)).astype(float)
        count = np.array([2, 5])
        plain.grad = np.stack([a[r, :k].T @ b[r, :k] for r, k in enumerate(count)])
        factored.grad = OuterProducts(a, b, count)
        np.testing.assert_array_equal(dense(factored.grad), plain.grad)
        for optimiser, parameter in zip(optimisers, (factored, plain), strict=True):
            optimiser.update([parameter], Step(t, optimiser.lr(t)))
        np.testing.assert_array_equal(factored.value, plain.value)


def test_unlike_gradients_side_by_side():
    a, b, matrix = np.ones((1, 2, 3)), np.full((1, 2, 4), 2.0), np.full((2, 3, 4), 5.0)
    both = SideBySide([(slice(0, 1), OuterProducts(a, b, np.array([2]))), (slice(1, 3), matrix)])
    np.testing.assert_array_equal(dense(both)[:, 0, 0], [4, 5, 5])
    w = np.zeros((3, 3, 4))
    add_scaled(w, both, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(w[:, 0, 0], [4, 10, 15])


@given(st.integers(1, 50), st.integers(0, 100))
def test_schedules(total, t):
    cosine = Cosine(total)
    assert cosine(0) == 1
    assert cosine(total) == pytest.approx(0, abs=1e-15)
    assert cosine(t) == pytest.approx(math.cos(math.pi * min(t, total) / total / 2) ** 2)
    assert StepDecay(total, 0.5)(t) == 0.5 ** (t // total)
    warm = WarmUp(total, cosine)
    assert warm(t) == ((t + 1) / total if t < total else cosine(t - total))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"lr": 0}, "expected finite step sizes > 0, got lr = 0"),
        ({"lr": np.array([0.1, np.nan])}, "expected finite step sizes > 0"),
        ({"momentum": 1.0}, "expected momentum from 0 to below 1, got 1.0"),
        ({"nesterov": True}, "expected a momentum > 0 with nesterov"),
    ],
)
def test_wrong_values_get_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        SGD(**arguments)
