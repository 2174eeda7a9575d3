"""Binary layers: the straight-through estimator both ways, a step by hand, networks that train,
stop and go on."""

import numpy as np
import pytest

from aopnp import (
    AOP,
    SGD,
    Adam,
    BatchNorm,
    Chain,
    CrossEntropy,
    Exact,
    Flatten,
    MaxPool2d,
    MeanSquaredError,
    RowMemory,
    Streams,
    fit,
    topk,
    weightedk,
)
from aopnp.arrays import to_device, to_host
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.nn import BinaryConv2d, BinaryDense, Sign, XavierUniform
from aopnp.nn.feedback import KolenPollack, RandomFeedback, SignSymmetric
from aopnp.nn.soft_weights import SOFT_WEIGHTS, FloatLatent, Levels
from aopnp.optim import Bop, SoftWeightUpdate
from aopnp.training.checkpoint import load, save
from tests.devices import ON_DEVICES, need

EVERY_STORAGE = pytest.mark.parametrize("storage", SOFT_WEIGHTS.values(), ids=SOFT_WEIGHTS)
FLOAT, EXACT = FloatLatent(), Exact()
TRAINING = Step(training=True)


def perceptron(storage=FLOAT, estimator=EXACT, **options):
    layers = BinaryDense(6, 9, estimator, storage=storage, **options), BatchNorm(9), Sign()
    return Chain(*layers, BinaryDense(9, 4, estimator, storage=storage, **options), BatchNorm(4))


def convolutional(storage=FLOAT, estimator=EXACT, **options):
    first = BinaryConv2d(2, 5, 3, 1, 1, estimator, storage=storage, **options), BatchNorm(5), Sign()
    second = (
        BinaryConv2d(5, 3, 3, 1, 1, estimator, storage=storage, **options),
        MaxPool2d(2),
        BatchNorm(3),
        Sign(),
    )
    last = Flatten(), BinaryDense(12, 4, estimator, storage=storage, **options), BatchNorm(4)
    return Chain(*first, *second, *last)


NETWORKS = {"dense": (perceptron, (6,)), "conv": (convolutional, (4, 4, 2))}
EACH_NETWORK = pytest.mark.parametrize(("build", "shape"), NETWORKS.values(), ids=NETWORKS)


def batch(shape, R=1, M=8, dtype=np.float64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(R, M, *shape)).astype(dtype), rng.integers(0, 4, (R, M))


def test_sign_is_a_stair_whose_gradient_passes_in_the_middle():
    layer, z = (
        Sign(),
        np.array([[[-1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.0001, np.nan]]], np.float32),
    )
    y = layer.forward(z)
    assert y.dtype == z.dtype
    np.testing.assert_array_equal(y[0, 0], [-1, -1, -1, 1, 1, 1, 1, 1, np.nan])
    g = np.full_like(z, 3)
    for passed in (layer.backward(g), layer.tangent(g)):
        np.testing.assert_array_equal(passed[0, 0], [0, 3, 3, 3, 3, 3, 3, 0, 0])


@EACH_NETWORK
@pytest.mark.parametrize("options", [{}, {"masked": True}, {"bias": True}])
@pytest.mark.parametrize("storage", [FloatLatent(), Levels(2)])
def test_the_tangent_of_a_binary_network_is_the_straight_through_gradient_along_it(
    build, shape, options, storage
):
    network, loss, rng = build(storage, **options), CrossEntropy(), np.random.default_rng(1)
    network.initialise(Streams(0, [0, 1]))
    x, target = batch(shape, R=2)
    loss.forward(network.forward(x, TRAINING), target)
    network.backward(loss.backward(), TRAINING, needs_input=False)
    terms = []
    for parameter in network.parameters():
        parameter.tangent = rng.normal(size=(3, *parameter.shape))  # three directions at once
        product = dense(parameter.grad) * parameter.tangent
        terms.append(product.reshape(3, 2, -1).sum(-1))
    expected, scale = np.sum(terms, 0), np.sum(np.abs(terms), 0)
    np.testing.assert_array_less(
        np.abs(loss.tangent(network.tangent(None)) - expected), 1e-10 * scale
    )
    assert (np.abs(expected) > 1e-6).all()


def test_a_masked_gradient_and_tangent_stop_at_the_ends():
    s = np.array([[1.0, -1.0], [0.999, 0.0], [-0.5, 1.0]])
    layer = BinaryDense(3, 2, masked=True, init=lambda *_: np.vstack([s, [0, 0]]))
    layer.initialise(Streams())
    x = np.array([[[1.0, 2.0, 4.0]]])
    layer.forward(x)
    layer.backward(np.ones((1, 1, 2)))
    np.testing.assert_array_equal(layer.weight.grad[0], [[0, 0], [2, 2], [4, 0]])
    layer.weight.tangent = np.ones((1, 3, 2))
    np.testing.assert_array_equal(layer.tangent(None), [[[6, 2]]])
    assert (layer.weight.tangent == 1).all()


def test_layers_start_uniform_and_without_a_bias_and_the_weights_are_signs():
    for layer in (BinaryDense(50, 40), BinaryConv2d(8, 30, 3)):
        layer.initialise(Streams(0, [0, 1]), np.float32)
        s = layer.weight.soft()
        assert [p is layer.weight for p in layer.parameters()] == [True]
        assert -1 <= s.min() < -0.99 < 0.99 < s.max() <= 1
        assert abs(s.mean()) < 0.05
        assert abs(s.var() - 1 / 3) < 0.02
        assert s.dtype == layer.weight.numbers().dtype == np.float32
        np.testing.assert_array_equal(layer.weight.numbers(), np.sign(s))
    for bias, number in ((False, 1), (True, 2)):
        layer = BinaryDense(3, 2, bias=bias, init=lambda *_: np.full((4, 2), 0.5))
        layer.initialise(Streams())
        assert len(layer.parameters()) == number
        np.testing.assert_array_equal(
            layer.forward(np.zeros((1, 1, 3))), np.full((1, 1, 2), 0.5 * bias)
        )
    assert repr(BinaryDense(3, 2)) == "BinaryDense(3, 2)"
    assert repr(BinaryConv2d(3, 2, 5)) == "BinaryConv2d(3, 2, (5, 5))"


def test_the_same_initialiser_gives_every_storage_the_same_signs():
    starts = []
    for storage in SOFT_WEIGHTS.values():
        layer = BinaryDense(9, 7, storage=storage, init=XavierUniform())
        layer.initialise(Streams())
        starts.append(layer.weight.numbers())
    assert all((start == starts[0]).all() for start in starts)


@pytest.mark.parametrize("bits", [1, 5])
def test_a_step_of_a_binary_dense_layer_by_hand(bits):
    """Section 3.5's reference step, written out in float64: N3 with SGD, batch norm and sign behind
    it."""
    rng, R, M, N, P, lr = np.random.default_rng(0), 2, 7, 5, 3, 0.4
    layer, norm, sign, streams = (
        BinaryDense(N, P, storage=Levels(bits)),
        BatchNorm(P),
        Sign(),
        Streams(0, [0, 1]),
    )
    network = Chain(layer, norm, sign)
    network.initialise(streams)
    a, da_out = rng.choice([-1.0, 1.0], (R, M, N)), rng.normal(size=(R, M, P))
    gap = 2 / (2**bits - 1)
    j = np.rint((layer.weight.soft() + 1) / gap)

    w = 2.0 * (j >= 2 ** (bits - 1)) - 1
    z = a @ w
    mean, deviation = z.mean(1, keepdims=True), np.sqrt(z.var(1, keepdims=True) + norm.eps)
    y = (z - mean) / deviation
    dy = da_out * (np.abs(y) <= 1)
    dz = (dy - dy.mean(1, keepdims=True) - y * (dy * y).mean(1, keepdims=True)) / deviation
    u = lr * a.swapaxes(1, 2) @ dz / gap
    chance = layer.weight.uniform(3, N * P, np).reshape(R, P, N).swapaxes(1, 2)
    n = np.floor(u) + (chance < u - np.floor(u))
    moved = np.clip(j - n, 0, 2**bits - 1)

    step = Step(3, np.array([lr]), training=True)
    np.testing.assert_array_equal(network.forward(a, step), np.where(y >= 0, 1, -1))
    np.testing.assert_allclose(
        network.backward(da_out, step), dz @ w.swapaxes(1, 2), rtol=1e-12, atol=1e-12
    )
    SoftWeightUpdate(SGD(lr)).update(network.parameters(), step)
    np.testing.assert_array_equal(np.rint((layer.weight.soft() + 1) / gap), moved)
    assert (moved != j).any()
    np.testing.assert_allclose(norm.beta.value, -lr * dy.sum(1), rtol=1e-12, atol=1e-14)


@EACH_NETWORK
@pytest.mark.parametrize(
    "options",
    [
        {"estimator": AOP(topk, 3, RowMemory())},
        {"estimator": AOP(weightedk, 4), "forward": AOP(topk, 2)},
        {"feedback": RandomFeedback()},
        {"feedback": SignSymmetric()},
        {"feedback": KolenPollack(), "masked": True},
    ],
    ids=["aop", "sampled", "random feedback", "signs", "kolen-pollack"],
)
def test_estimators_and_feedback_work_as_with_real_weights_and_a_stack_is_each_alone(
    build, shape, options
):
    def end(runs):
        network, streams = build(Levels(4), **options), Streams(2, runs)
        network.initialise(streams, np.float32)
        x, target = batch(shape, 1, 16, np.float32)
        fit(
            network,
            CrossEntropy(),
            SoftWeightUpdate(SGD(0.1, 0.5)),
            (x[0], target[0]),
            streams=streams,
            batch_size=8,
            epochs=2,
        )
        return [parameter.value for parameter in network.parameters()]

    together, start = end([0, 1, 2]), build(Levels(4), **options)
    start.initialise(Streams(2, [0, 1, 2]), np.float32)
    assert all((a != p.value).any() for a, p in zip(together, start.parameters(), strict=True))
    alone = end([1])
    for stack, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(stack[1], one[0])


OPTIMISERS = {
    "sgd": lambda: SoftWeightUpdate(SGD(0.1)),
    "adam": lambda: SoftWeightUpdate(Adam(0.02)),
    "bop": lambda: Bop(Adam(0.02), 0.1),
}
EVERY_OPTIMISER = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)


def trained(network, optimiser, streams, shape, device="cpu", loss=CrossEntropy, **epochs):
    x, target = batch(shape, 1, 24, np.float32)
    target = target[0] if loss is CrossEntropy else np.eye(4, dtype=np.float32)[target[0]]
    data = to_device(x[0], device), to_device(target, device)
    return fit(network, loss(), optimiser, data, streams=streams, batch_size=8, **epochs)


@EVERY_STORAGE
@EVERY_OPTIMISER
def test_training_goes_on_from_a_file_bit_for_bit(storage, optimiser, tmp_path):
    streams, path, networks = Streams(3, [0, 1]), tmp_path / "network.npz", []
    for stops in (False, True):
        network, its_optimiser = perceptron(storage), optimiser()
        network.initialise(streams, np.float32)
        if stops:
            trained(network, its_optimiser, streams, (6,), epochs=2)
            save(path, network, its_optimiser, streams=streams, epoch=2)
            network, its_optimiser = perceptron(storage), optimiser()
            network.initialise(streams, np.float32)
            assert load(path, network, its_optimiser, streams=streams) == 2
        history = trained(
            network, its_optimiser, streams, (6,), first_epoch=3 if stops else 1, epochs=4
        )
        networks.append((network, its_optimiser, history))
    (whole, one, history), (resumed, other, rest) = networks
    for got, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
        np.testing.assert_array_equal(got.value, expected.value)
    np.testing.assert_array_equal(rest["train_loss"], history["train_loss"][2:])
    assert len(other.saved(resumed.parameters())) == len(one.saved(whole.parameters()))
    assert not history.diverged


def test_a_file_of_other_bits_or_another_optimiser_is_refused(tmp_path):
    streams, path = Streams(), tmp_path / "network.npz"
    network = perceptron(Levels(5))
    network.initialise(streams)
    save(path, network, SoftWeightUpdate(SGD(0.1)), streams=streams, epoch=0)
    for storage, optimiser, sentence in (
        (
            Levels(6),
            SoftWeightUpdate(SGD(0.1)),
            r"expected parameters uint8 \[1, 6, 7\], .*, got uint8 \[1, 5, 7\]",
        ),
        (
            FloatLatent(),
            SoftWeightUpdate(SGD(0.1)),
            r"expected parameters float64 \[1, 54\], .*, got uint8 \[1, 5, 7\]",
        ),
        (Levels(5), SGD(0.1), "expected an optimiser SGD as here, got SGD displacing soft weights"),
        (
            Levels(5),
            Bop(SGD(0.1)),
            "expected an optimiser Bop, and SGD for real weights as here, got SGD displacing",
        ),
    ):
        other = perceptron(storage)
        other.initialise(streams)
        with pytest.raises(ValueError, match=sentence):
            load(path, other, optimiser, streams=streams)


@ON_DEVICES
@EACH_NETWORK
@pytest.mark.parametrize("storage", [FloatLatent(), Levels(5), SOFT_WEIGHTS["naive"]])
def test_training_on_a_device_ends_at_the_same_soft_weights(device, build, shape, storage):
    need(device)
    ends = []
    for where in ("cpu", device):
        network, streams = build(storage), Streams(1, [0, 1])
        network.initialise(streams, np.float32, where)
        trained(
            network, SoftWeightUpdate(Adam(0.02)), streams, shape, where, MeanSquaredError, epochs=2
        )
        ends.append([to_host(parameter.value) for parameter in network.parameters()])
    for got, expected in zip(*reversed(ends), strict=True):
        if device == "cuda-sim" or got.dtype == np.uint8:
            np.testing.assert_array_equal(got, expected)
        else:
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_the_naive_rule_flips_no_weight_and_trains_as_frozen_weights_do():
    """Rate 0.1: a flip takes a gradient of more than 10.

    What is left learns as it does where weights are frozen.
    """
    curves = []
    for frozen in (False, True):
        network, streams = perceptron(SOFT_WEIGHTS["naive"]), Streams(0, [0])
        network.initialise(streams, np.float32)
        start = [parameter.value.copy() for parameter in network.parameters()]
        if frozen:
            for layer in network.walk():
                if isinstance(layer, BinaryDense):
                    layer.weight.move = lambda displacement, step: None
        curves.append(
            trained(network, SoftWeightUpdate(SGD(0.1)), streams, (6,), epochs=5)["train_loss"]
        )
        same = [
            (now.value == then).all() for now, then in zip(network.parameters(), start, strict=True)
        ]
        assert same == [True, False, False] * 2
    np.testing.assert_array_equal(*curves)
    assert curves[0][-1] < curves[0][0]


@pytest.mark.parametrize("name", ["float", "8-bit", "5-bit"])
def test_soft_weights_learn_what_the_naive_rule_cannot(name):
    losses = {}
    for storage in (name, "naive"):
        network, streams = perceptron(SOFT_WEIGHTS[storage]), Streams(0, range(5))
        network.initialise(streams, np.float32)
        losses[storage] = trained(network, SoftWeightUpdate(Adam(0.01)), streams, (6,), epochs=30)[
            "train_loss"
        ][-1].mean()
    assert losses[name] < losses["naive"] - 0.1


@EVERY_STORAGE
def test_nan_is_seen_although_no_level_stands_for_it(storage):
    network, streams = perceptron(storage), Streams(0, [0, 1])
    network.initialise(streams, np.float32)
    network.layers[1].gamma.value[1, 0] = np.nan
    history = trained(network, SoftWeightUpdate(SGD(0.1)), streams, (6,), epochs=1)
    assert list(history.diverged) == [1]
    assert np.isfinite(network.layers[0].weight.soft()[0]).all()


def test_a_masked_layer_hands_kolen_pollack_the_masked_gradient():
    layer = BinaryDense(4, 3, masked=True, feedback=KolenPollack())
    layer.initialise(Streams())
    layer.weight.value[...] = np.sign(layer.weight.value)  # all at their ends
    layer.forward(np.ones((1, 2, 4)), Step(training=True))
    layer.backward(np.ones((1, 2, 3)), Step(training=True))
    np.testing.assert_array_equal(layer.weight.grad, np.zeros((1, 4, 3)))
    np.testing.assert_array_equal(layer.feedback_matrix.grad, np.zeros((1, 4, 3)))


def test_binary_layers_that_could_not_train_are_refused():
    with pytest.raises(
        ValueError,
        match="expected soft weights of more than one bit with masked gradients, got one",
    ):
        BinaryDense(4, 3, storage=Levels(1), masked=True)
    with pytest.raises(
        TypeError,
        match="expected a storage of soft weights, got '5-bit'; SOFT_WEIGHTS has them by name",
    ):
        BinaryDense(4, 3, storage="5-bit")
