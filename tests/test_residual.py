"""The residual connection: two branches, one sum, in all three passes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import Chain, Dense, ReLU, Streams, Tanh
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.nn import BatchNorm, Dropout, Residual
from aopnp.verify import adjoint

MAKE = {
    "identity": lambda N: Residual(Dense(N, 4), Tanh(), Dense(4, N)),
    "shortcut": lambda N: Residual(Dense(N, 4), Tanh(), shortcut=Dense(N, 4)),
    "of chains": lambda N: Residual(
        Chain(Dense(N, 3), Tanh(), Dense(3, 4)), shortcut=Chain(Dense(N, 4), Tanh())
    ),
    "nested": lambda N: Chain(Residual(Residual(Tanh()), Dense(N, N)), Dense(N, 2)),
    "with noise and statistics": lambda N: Residual(
        Dense(N, N), BatchNorm(N), Dropout(0.3), Tanh()
    ),
}
EACH = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
TRAINING = Step(2, training=True)


def prepared(make, N, R, seed=0):
    layer, rng = make(N), np.random.default_rng(seed)
    layer.initialise(Streams(seed, range(R)))
    for parameter in layer.parameters():
        parameter.tangent = rng.normal(size=parameter.value.shape)
    return layer


@EACH
@given(
    st.integers(1, 3), st.integers(2, 5), st.integers(1, 4), st.booleans(), st.integers(0, 10**6)
)
def test_backward_is_the_adjoint_of_tangent_which_is_the_derivative(make, R, M, N, shared, seed):
    rng = np.random.default_rng(seed)
    layer = prepared(make, N, R, seed)
    x = rng.normal(size=(1 if shared else R, M, N))
    y = layer.forward(x)
    u = rng.normal(size=(len(y), M, N))
    for step in (Step(), TRAINING):
        adjoint.adjoint(layer, x, rng.normal(size=y.shape), u, step, tolerance=1e-11)
        adjoint.tangent_is_derivative(layer, x, u, tolerance=1e-6, step=step)


def test_the_output_is_the_sum_of_both_branches():
    x = np.random.default_rng(0).integers(-3, 4, (2, 5, 3)).astype(float)
    np.testing.assert_array_equal(Residual(ReLU()).forward(x), x + np.maximum(x, 0))
    np.testing.assert_array_equal(
        Residual(ReLU(), ReLU(), shortcut=ReLU()).forward(x), 2 * np.maximum(x, 0)
    )
    layer = Residual(ReLU())
    layer.forward(x)
    np.testing.assert_array_equal(layer.backward(x), x * (1.0 + (x > 0)))
    np.testing.assert_array_equal(
        layer.tangent(np.stack([x, x])), np.stack([x * (1.0 + (x > 0))] * 2)
    )


def test_a_residual_shows_its_leaves_and_numbers_them_in_order():
    first, second, third, shortcut = Dense(3, 4), Tanh(), Dense(4, 3), Dense(3, 3)
    block = Residual(first, Chain(second, third), shortcut=shortcut)
    last = Dense(3, 3)
    network = Chain(block, last)
    assert list(network.walk()) == [first, second, third, shortcut, last]
    network.initialise(Streams(4))
    for number, layer in [(0, first), (2, third), (3, shortcut), (4, last)]:
        alone = Dense(layer.inputs, layer.outputs)
        alone.initialise(Streams(4), index=number)
        np.testing.assert_array_equal(layer.weight.value, alone.weight.value)
    wanted = [p for layer in (first, third, shortcut, last) for p in (layer.weight, layer.bias)]
    assert all(got is expected for got, expected in zip(network.parameters(), wanted, strict=True))


@EACH
def test_without_input_gradient_the_parameters_still_get_theirs(make):
    rng = np.random.default_rng(0)
    layer = prepared(make, 3, 2)
    x = rng.normal(size=(2, 5, 3))
    g = rng.normal(size=layer.forward(x).shape)
    assert layer.backward(g).shape == x.shape
    expected = [dense(parameter.grad) for parameter in layer.parameters()]
    for parameter in layer.parameters():
        parameter.grad = None
    assert layer.backward(g, needs_input=False) is None
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        np.testing.assert_array_equal(dense(parameter.grad), gradient)


def test_branches_of_two_shapes_are_refused():
    layer = Residual(Dense(3, 1))  # [R, M, 1] would broadcast
    layer.initialise(Streams())
    with pytest.raises(
        ValueError, match=r"one shape, got \(1, 4, 1\) from the layers and \(1, 4, 3\) .* shortcut"
    ):
        layer.forward(np.ones((1, 4, 3)))
    with pytest.raises(ValueError, match="at least one layer"):
        Residual()


def test_a_shared_input_becomes_one_of_each_replica():
    layer = prepared(MAKE["identity"], 3, 2)
    x = np.ones((1, 4, 3))
    y = layer.forward(x)
    assert y.shape == (2, 4, 3)
    np.testing.assert_array_equal(layer.forward(np.concatenate([x, x])), y)
