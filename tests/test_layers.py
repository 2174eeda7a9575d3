"""Layers and losses: gradients by inner products, shapes, and sentences for bad input."""

import re
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import AOP, Chain, Conv2d, Dense, RowMemory, Streams, Tanh, topk
from aopnp.arrays import to_device, to_host
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.nn import (
    ACTIVATIONS,
    LOSSES,
    BatchNorm,
    CrossEntropy,
    Flatten,
    MeanSquaredError,
    ReLU,
    Residual,
    Sigmoid,
    Sign,
    Softmax,
)
from aopnp.nn.feedback import DFA, Hook
from aopnp.nn.layer import Layer
from aopnp.verify import adjoint
from tests.devices import need

LAYERS = {
    **{name: (lambda N, kind=kind: kind()) for name, kind in ACTIVATIONS.items()},
    "dense": lambda N: Dense(N, 3),
    "chain": lambda N: Chain(Dense(N, 4), Tanh(), Dense(4, 3), Softmax()),
}
NETWORKS = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def prepared(make, N, R, rng) -> Layer:
    """Return an initialised layer with random tangents."""
    layer = make(N)
    layer.initialise(Streams(int(rng.integers(99)), range(R)))
    for parameter in layer.parameters():
        parameter.tangent = rng.normal(size=parameter.value.shape)
    return layer


@NETWORKS
@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.booleans(), st.integers(0, 10**6)
)
def test_backward_is_the_adjoint_of_tangent_which_is_the_derivative(make, R, M, N, shared, seed):
    rng = np.random.default_rng(seed)
    layer = prepared(make, N, R, rng)
    x = rng.normal(size=(1 if shared else R, M, N))
    x[np.abs(x) < 1e-3] = 0.5  # away from the kink of the ReLU
    y = layer.forward(x)
    u = rng.normal(size=(len(y), M, N))
    adjoint.adjoint(layer, x, rng.normal(size=y.shape), u, Step())
    if not isinstance(layer, Sign):  # whose tangent is an estimator's
        adjoint.tangent_is_derivative(layer, x, u)


@NETWORKS
def test_tangent_broadcasts_over_leading_axes(make):
    rng = np.random.default_rng(0)
    layer = prepared(make, 4, 2, rng)
    layer.forward(rng.normal(size=(2, 3, 4)))
    u = rng.normal(size=(5, 2, 3, 4))
    np.testing.assert_allclose(
        layer.tangent(u), [layer.tangent(each) for each in u], rtol=1e-13, atol=1e-15
    )


def test_every_loss_is_tested():
    assert set(LOSSES.values()) == {MeanSquaredError, CrossEntropy}


@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.booleans(), st.integers(0, 10**6)
)
def test_loss_gradients(R, M, P, shared, seed):
    rng = np.random.default_rng(seed)
    y, u = rng.normal(size=(2, R, M, P))
    leading = 1 if shared else R
    adjoint.loss_gradient(MeanSquaredError(), y, rng.normal(size=(leading, M, P)), u)
    adjoint.loss_gradient(CrossEntropy(), y, rng.integers(0, P, (leading, M)), u)


def test_loss_values_by_hand():
    y, t = np.array([[[1.0, 3.0], [0.0, 0.0]]]), np.array([[[0.0, 1.0], [2.0, 0.0]]])
    assert MeanSquaredError().forward(y, t) == pytest.approx([(1 + 4 + 4 + 0) / 4])
    expected = (np.log(1 + np.exp(2)) + np.log(2)) / 2  # labels 0 and 1
    loss = CrossEntropy()
    assert loss.forward(y, np.array([[0, 1]])) == pytest.approx([expected])
    np.testing.assert_array_equal(loss.correct(y, np.array([[1, 0]])), [2])


def test_cross_entropy_survives_large_logits_and_double_softmax_has_its_floor():
    y = np.array([[[1e4, -1e4]]])
    assert CrossEntropy().forward(y, np.array([[1]])) == pytest.approx([2e4])
    logits = np.zeros((1, 1, 10))
    logits[0, 0, 3] = 1e3
    floor = CrossEntropy().forward(Softmax().forward(logits), np.array([[3]]))
    assert floor == pytest.approx([1.4612], abs=5e-5)  # the paper's loss cannot fall below this


def test_bias_gradient_is_exact_whatever_is_selected():
    layer = Dense(2, 3, AOP(topk, 1, RowMemory()))
    layer.initialise(Streams())
    rng = np.random.default_rng(0)
    for t in range(3):
        g = rng.integers(-4, 5, (1, 5, 3)).astype(float)
        layer.forward(rng.normal(size=(1, 5, 2)))
        layer.backward(g, Step(t, noise={layer: np.zeros((1, 5))}))
        np.testing.assert_array_equal(layer.bias.grad, g.sum(1))


def test_input_gradient_is_exact_and_skipped_where_nobody_needs_it():
    chain = Chain(Tanh(), Dense(2, 3), Tanh())
    chain.initialise(Streams())
    x, g = np.ones((1, 4, 2)), np.ones((1, 4, 3))
    chain.forward(x)
    assert chain.backward(g, needs_input=False) is None
    first = dense(chain.layers[1].weight.grad)
    assert chain.backward(g).shape == x.shape
    np.testing.assert_array_equal(dense(chain.layers[1].weight.grad), first)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (np.zeros((7, 3)), "got float64 [7, 3]; reshape them to [n, 2]"),
        (np.zeros(7), "got float64 [7]; reshape them to [n, 2]"),
        (np.zeros((7, 2), int), "got int64 [7, 2]; cast them with astype"),
        (np.zeros(7, int), "got int64 [7]; reshape them to [n, 2] and cast them with astype"),
        (np.full((7, 2), np.nan), "got float64 [7, 2] with NaN or infinity; clean the data"),
        (
            np.full((7, 3), -np.inf),
            "got float64 [7, 3] with NaN or infinity; reshape them to [n, 2] and clean the data",
        ),
    ],
    ids=["columns", "no columns", "integers", "labels", "NaN", "columns and infinity"],
)
def test_targets_that_do_not_fit_get_a_sentence_that_names_only_their_faults(target, fault):
    sentence = f"expected finite floating-point targets [n, 2], {fault}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        MeanSquaredError().check(target, 2)


def test_relu_lets_nan_through():
    assert np.isnan(ReLU().forward(np.array([[[np.nan]]]))).all()


def sigmoid_and_slope(x: float) -> tuple[float, float]:
    """Return 1 / (1 + exp(-x)) and its derivative, computed with 60 digits."""
    with localcontext(prec=60):
        e = (-Decimal(x)).exp()
        y = 1 / (1 + e)
        return float(y), float(y * y * e)


@pytest.mark.parametrize("device", ["cpu", "cuda-sim", "gpu"])
@pytest.mark.parametrize(("dtype", "end"), [(np.float32, 110), (np.float64, 750)])
def test_sigmoid_and_its_slope_keep_their_relative_accuracy_in_both_tails(dtype, end, device):
    need(device)
    # Up to `end` the exponential is a number; beyond it, it is rounded to zero.
    x = np.concatenate([np.linspace(-end, end, 2001), np.linspace(-1, 1, 201)]).astype(dtype)
    exact, exact_slope = np.array([sigmoid_and_slope(value) for value in x.tolist()]).T
    layer, rows = Sigmoid(), to_device(x.reshape(1, 1, -1), device)
    y = to_host(layer.forward(rows)).ravel()
    slope = to_host(layer.backward(to_device(np.ones((1, 1, len(x)), dtype), device))).ravel()
    assert y.dtype == slope.dtype == dtype
    for got, expected in ((y, exact), (slope, exact_slope)):
        # Below the smallest normal number `tiny`, floating-point numbers are equally spaced.
        unit = np.finfo(dtype).eps * np.maximum(expected, np.finfo(dtype).tiny)
        assert np.all(np.abs(got - expected) <= 4 * unit)


def test_sigmoid_of_infinity_and_nan_is_silent():
    x = np.array([[[-np.inf, -1e4, 1e4, np.inf, np.nan]]])
    layer = Sigmoid()
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        np.testing.assert_array_equal(layer.forward(x), [[[0, 0, 1, 1, np.nan]]])
        slope = layer.tangent(np.ones_like(x))
    np.testing.assert_array_equal(slope, [[[0, 0, 0, 0, np.nan]]])


def test_initial_values_fill_the_fan_in_bound_and_belong_to_their_run():
    layer = Dense(400, 50)
    layer.initialise(Streams(3, [5, 7, 5]), np.float32)
    values = np.concatenate([layer.weight.value.reshape(3, -1), layer.bias.value], axis=1)
    assert values.dtype == np.float32
    assert 0.0499 < np.abs(values).max() <= 0.05
    assert abs(values.mean()) < 0.001
    np.testing.assert_array_equal(values[0], values[2])
    assert (values[0] != values[1]).mean() > 0.99
    alone = Dense(400, 50)
    alone.initialise(Streams(3, [7]), np.float32)
    np.testing.assert_array_equal(alone.weight.value[0], layer.weight.value[1])


def test_wrong_inputs_get_a_sentence():
    layer = Dense(2, 3)
    with pytest.raises(ValueError, match=r"initialise\(streams\) first"):
        layer.forward(np.ones((1, 4, 2)))
    layer.initialise(Streams(0, range(2)))
    with pytest.raises(TypeError, match="dtype float64, got float32"):
        layer.forward(np.ones((1, 4, 2), np.float32))
    for shape in [(1, 4, 3), (4, 2), (3, 4, 2)]:
        with pytest.raises(
            ValueError, match=r"expected inputs \[R or 1, M, N\] with R = 2 and N = 2, got shape"
        ):
            layer.forward(np.ones(shape))
    with pytest.raises(ValueError, match="expected at least one input and one output"):
        Dense(0, 3)
    with pytest.raises(ValueError, match="at least one layer"):
        Chain()
    with pytest.raises(ValueError, match="expected labels"):
        CrossEntropy().forward(np.ones((2, 4, 3)), np.zeros((4,), int))
    with pytest.raises(ValueError, match="expected targets"):
        MeanSquaredError().forward(np.ones((2, 4, 1)), np.zeros((2, 4)))


def test_a_batch_size_that_changes_under_a_row_memory_is_refused():
    layer = Dense(2, 1, AOP(topk, 1, RowMemory()))
    layer.initialise(Streams())
    for M in (4, 3):
        layer.forward(np.ones((1, M, 2)))
        step = Step(noise={layer: np.zeros((1, M))})
        if M == 4:
            layer.backward(np.ones((1, M, 1)), step)
            continue
        with pytest.raises(
            ValueError,
            match=r"\[1, 4, 1\] as at the first step .*, got \[1, 3, 1\]; keep the batch size",
        ):
            layer.backward(np.ones((1, M, 1)), step)


@pytest.mark.parametrize("k", [-1, 1.5])
def test_k_below_0_is_refused(k):
    with pytest.raises(ValueError, match="expected K to be an integer of at least 0, got k = "):
        AOP(topk, k)


def test_k_above_m_and_missing_noise_are_refused():
    layer = Dense(2, 1, AOP(topk, 5))
    layer.initialise(Streams())
    layer.forward(np.ones((1, 4, 2)))
    with pytest.raises(
        ValueError, match=r"expected 0 <= K <= M = 4, got k = 5; lower k or enlarge the batch"
    ):
        layer.backward(np.ones((1, 4, 1)), Step(noise={layer: np.zeros((1, 4))}))
    layer.weight_product.estimator = AOP(topk, 2)
    with pytest.raises(
        ValueError, match=r"expected selection noise of shape \[R or 1, 4\], got None"
    ):
        layer.backward(np.ones((1, 4, 1)), Step())


# Tangents that begin in the middle of a network, and gradients that nobody asks for


MOVING = {
    "dense": (lambda: Dense(6, 4), (5, 6)),
    "conv": (lambda: Conv2d(2, 3, 2), (5, 3, 4, 2)),
    "batch norm": (lambda: BatchNorm(6), (5, 6)),
    "chain": (lambda: Chain(Tanh(), Chain(Dense(6, 4), BatchNorm(4)), Tanh()), (5, 6)),
    "residual": (lambda: Residual(Dense(6, 6), Tanh()), (5, 6)),
    "shortcut": (lambda: Residual(Tanh(), Dense(6, 4), shortcut=Dense(6, 4)), (5, 6)),
    "shortcut alone": (lambda: Residual(Tanh(), shortcut=Dense(6, 6)), (5, 6)),
}


@pytest.mark.parametrize(("make", "shape"), MOVING.values(), ids=MOVING)
@pytest.mark.parametrize("training", [True, False])
def test_an_input_that_does_not_move_is_one_that_moves_by_zero(make, shape, training):
    """For every subset of the parameters; one without a tangent does not move."""
    layer, rng = make(), np.random.default_rng(0)
    layer.initialise(Streams(0, range(2)))
    x = rng.normal(size=(2, *shape))
    y = layer.forward(x, Step(training=training))
    assert not layer.perturbed()
    zero, directions = (
        np.zeros_like(x),
        [rng.normal(size=(3, *p.value.shape)) for p in layer.parameters()],
    )
    for some in [*([k] for k in range(len(directions))), range(len(directions))]:
        for k, parameter in enumerate(layer.parameters()):
            parameter.tangent = directions[k] if k in some else None
        assert layer.perturbed()
        moved = layer.tangent(None)
        assert moved.shape == (3, *y.shape)
        np.testing.assert_allclose(moved, layer.tangent(zero), rtol=1e-14, atol=1e-15)
        assert moved.any()


class Still(Hook):
    """A layer that nothing moves, and that must not be asked."""

    def tangent(self, u):
        raise AssertionError("asked for the tangent of what does not move")


def test_a_tangent_begins_at_the_first_layer_that_moves():
    rng, inner = np.random.default_rng(0), Chain(Still(), Dense(4, 3), Tanh())
    network = Chain(Dense(2, 4), Still(), inner, Hook(), Dense(3, 2))
    network.initialise(Streams(0, range(2)))
    network.forward(rng.normal(size=(2, 5, 2)))
    for chain in (network, inner):
        assert not chain.perturbed()
        with pytest.raises(
            ValueError, match="expected a direction, got none: give u, or some parameter a tangent"
        ):
            chain.tangent(None)
    hook, last = network.layers[3:]
    hook.perturbation = rng.normal(size=(7, 2, 5, 3))
    assert network.perturbed()
    assert not inner.perturbed()
    np.testing.assert_array_equal(network.tangent(None), hook.perturbation @ last.weight.value)
    inner.layers[1].bias.tangent = rng.normal(size=(2, 3))
    assert inner.perturbed()
    through = inner.tangent(None) + hook.perturbation
    np.testing.assert_array_equal(network.tangent(None), through @ last.weight.value)
    hook.perturbation = None
    np.testing.assert_array_equal(hook.tangent(through), through)


@pytest.mark.parametrize("training", [True, False])
def test_a_perturbation_of_a_dense_layers_outputs_adds_to_its_tangent_and_products_are_counted(
    training,
):
    rng, layer = np.random.default_rng(0), Dense(4, 3)
    layer.initialise(Streams(0, range(2)))
    layer.forward(rng.normal(size=(1, 5, 4)), Step(training=training))
    layer.spent()
    layer.perturbation = rng.normal(size=(2, 5, 3))
    assert layer.perturbed()
    np.testing.assert_array_equal(layer.tangent(None), layer.perturbation)
    assert layer.spent() == {}
    u = rng.normal(size=(7, 2, 5, 4))
    np.testing.assert_allclose(
        layer.tangent(u), u @ layer.weight.value + layer.perturbation, rtol=1e-14, atol=1e-15
    )
    layer.weight.tangent = rng.normal(size=(2, 4, 3))
    layer.tangent(None)
    product = 2.0 * 5 * 4 * 3
    expected = {"flops": [8 * product] * 2, "overhead_flops": [8 * product] * 2} if training else {}
    assert {name: value.tolist() for name, value in layer.spent().items()} == expected


class Spy(Hook):
    """Remembers whether it was asked for the gradient of its input."""

    asked = None

    def backward(self, g, step=None, *, needs_input=True):
        self.asked = needs_input
        return g if needs_input else None


def test_a_gradient_is_computed_only_for_who_uses_it():
    spies = [Spy() for _ in range(6)]
    lower = [spies[0], Dense(4, 4), spies[1], Dense(4, 4), DFA(3, (4,)), spies[2], Flatten()]
    network = Chain(*lower, Chain(spies[3], Dense(4, 4)), spies[4], Dense(4, 3), spies[5])
    network.initialise(Streams(0, range(2)))
    teacher = CrossEntropy()
    teacher.forward(network.forward(np.ones((1, 6, 4))), np.zeros((1, 6), int))
    step = Step(loss=teacher)

    def asked(step, **options):
        for spy in spies:
            spy.asked = None
        return network.backward(teacher.backward(), step, **options), [spy.asked for spy in spies]

    below, above = asked(step)
    assert below.shape == (2, 6, 4)
    assert above == [True, True, None, None, True, True]
    assert asked(step, needs_input=False) == (None, [None, True, None, None, True, True])
    exact = network.exact_copy()
    for spy in spies:
        spy.true = None
    exact.backward(teacher.backward(), step, needs_input=False)
    assert [spy.true is not None for spy in spies] == [False, True, True, True, True, True]


def test_a_chain_listens_where_its_gradient_is_used():
    hears, deaf = Dense(4, 4), DFA(3, 4)
    for layer in (hears, deaf):
        layer.initialise(Streams())
    assert [
        Chain(*layers).uses_upstream_gradient
        for layers in ([hears], [deaf], [hears, deaf], [deaf, hears])
    ] == [
        True,
        False,
        False,
        True,
    ]
    assert not Chain(hears, Chain(deaf, Tanh()), Tanh()).uses_upstream_gradient
    assert Chain(hears, deaf, Tanh()).exact_copy().uses_upstream_gradient
    assert Chain(Tanh(), Tanh()).uses_upstream_gradient
    # Nobody there uses it.
    assert Chain(Tanh()).backward(np.ones((1, 2, 3)), needs_input=False) is None
