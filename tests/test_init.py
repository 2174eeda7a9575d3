"""Initial values: bounds, variances, biases, and the numbers that have always been drawn."""

import numpy as np
import pytest
from scipy import stats

from aopnp.nn import KaimingNormal, XavierUniform, uniform_fan_in

N, P, FAN_OUT = 300, 200, 500  # a fan-out of its own, as a convolution has


def drawn(init, seed=0):
    values = init(np.random.default_rng(seed), N, P, FAN_OUT)
    assert (values.shape, values.dtype) == ((N + 1, P), np.float64)
    return values


def test_uniform_fan_in_draws_weights_and_bias_in_one_go():
    expected = np.random.default_rng(0).uniform(-1 / np.sqrt(N), 1 / np.sqrt(N), (N + 1, P))
    np.testing.assert_array_equal(drawn(uniform_fan_in), expected)


@pytest.mark.parametrize(
    ("init", "bound"), [(XavierUniform(), np.sqrt(6 / 800)), (XavierUniform(2), np.sqrt(24 / 800))]
)
def test_xavier_is_uniform_up_to_its_bound(init, bound):
    weights = drawn(init)[:N]
    assert stats.kstest(weights.ravel() / bound, stats.uniform(-1, 2).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("init", "deviation"),
    [
        (KaimingNormal(), np.sqrt(2 / FAN_OUT)),
        (KaimingNormal("fan_in"), np.sqrt(2 / N)),
        (KaimingNormal("fan_out", gain=1), np.sqrt(1 / FAN_OUT)),
    ],
)
def test_kaiming_is_normal_with_its_deviation(init, deviation):
    weights = drawn(init)[:N]
    assert stats.kstest(weights.ravel() / deviation, "norm").pvalue > 1e-4


@pytest.mark.parametrize("init", [XavierUniform(), KaimingNormal()])
def test_the_bias_starts_at_zero_and_the_weights_do_not(init):
    values = drawn(init)
    assert (values[N] == 0).all()
    assert (values[:N] != 0).all()


def test_kaiming_keeps_the_second_moment_through_a_relu():
    init = KaimingNormal("fan_in")
    x = np.random.default_rng(1).normal(size=(50, N))
    for seed in range(5):
        weights = init(np.random.default_rng(seed), N, N, N)[:N]
        x = np.maximum(x, 0) @ weights if seed else x @ weights / np.sqrt(2)
    assert 0.6 < (x * x).mean() < 1.6  # 2^-4 or 2^4 with the wrong gain


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match='expected mode "fan_in" or "fan_out", got \'fan_avg\''):
        KaimingNormal("fan_avg")
