"""The table of feedbacks: what stands for W^T in a dense layer and in a convolution, frozen,
trained or mirrored."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from aopnp import (
    AOP,
    SGD,
    Adam,
    Chain,
    CrossEntropy,
    Dense,
    MeanSquaredError,
    RowMemory,
    Streams,
    Tanh,
    fit,
    randk,
    topk,
)
from aopnp.arrays import to_host
from aopnp.arrays.streams import Purpose
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.estimators.policies import POLICIES
from aopnp.nn import Conv2d
from aopnp.nn.feedback import (
    FEEDBACKS,
    Feedback,
    Hook,
    KolenPollack,
    RandomFeedback,
    SignSymmetric,
    Transpose,
    WeightMirror,
)
from aopnp.training import MeasureAlignment
from aopnp.training.rules import Backprop
from tests.devices import ON_DEVICES, need
from tests.feedback import layered, train

LAYERS = {
    "dense": (lambda **options: Dense(4, 6, **options), (5, 4)),
    "conv": (lambda **options: Conv2d(4, 6, 2, 1, 1, **options), (3, 3, 2, 4)),
}
EACH_LAYER = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
EACH = pytest.mark.parametrize("feedback", [kind() for kind in FEEDBACKS.values()], ids=FEEDBACKS)
KEEPING = [kind() for kind in FEEDBACKS.values() if kind.keeps]
FROZEN = ["random", "sign_symmetric"]
TRAINING = Step(training=True)


def integers(rng, shape):
    return rng.integers(-4, 5, shape).astype(float)


def prepared(make, shape, feedback, R=2, **options):
    """Return (layer of integers, inputs, gradients of its outputs)."""
    rng, layer = np.random.default_rng(0), make(feedback=feedback, **options)
    layer.initialise(Streams(0, range(R)))
    x = integers(rng, (R, *shape))
    g = integers(rng, layer.forward(x).shape)
    for parameter in (layer.weight, layer.bias, layer.feedback_matrix):
        if parameter is not None:
            parameter.value[...] = integers(rng, parameter.value.shape)
    return layer, x, g


def passes(layer, x, g, step=TRAINING):
    return (
        layer.forward(x, step),
        layer.backward(g, step),
        dense(layer.weight.grad),
        layer.bias.grad,
    )


@EACH
@EACH_LAYER
def test_the_input_gradient_is_that_of_a_layer_with_the_feedbacks_matrix_and_nothing_else_changes(
    make, shape, feedback
):
    layer, x, g = prepared(make, shape, feedback)
    plain, *_ = prepared(make, shape, Transpose())
    own, expected = passes(layer, x, g), passes(plain, x, g)
    for k in (0, 2, 3):
        np.testing.assert_array_equal(own[k], expected[k])
    if feedback.keeps:
        plain.weight.value[...] = feedback.matrix(layer.weight.value, layer.feedback_matrix.value)
    np.testing.assert_array_equal(own[1], passes(plain, x, g)[1])
    assert (own[1] == expected[1]).all() == (not feedback.keeps)
    assert layer.backward(g, TRAINING, needs_input=False) is None
    u = integers(np.random.default_rng(1), x.shape)
    plain.weight.value[...] = layer.weight.value
    np.testing.assert_array_equal(layer.tangent(u), plain.tangent(u))


def test_the_matrices_by_hand():
    w, b = np.array([[[2.0, -3.0, 0.0, -0.5]]]), np.array([[[-5.0, 7.0, 9.0, -1.0]]])
    assert (
        RandomFeedback().matrix(w, b)
        is KolenPollack().matrix(w, b)
        is WeightMirror().matrix(w, b)
        is b
    )
    np.testing.assert_array_equal(SignSymmetric().matrix(w, b), [[[5.0, -7.0, 0.0, -1.0]]])
    layer, x, g = prepared(*LAYERS["dense"], RandomFeedback())
    expected = np.einsum("rmp,rnp->rmn", g, layer.feedback_matrix.value)
    np.testing.assert_array_equal(passes(layer, x, g)[1], expected)


@pytest.mark.parametrize("feedback", KEEPING, ids=str)
@EACH_LAYER
def test_the_matrix_is_drawn_as_the_weights_are_but_apart_from_them(make, shape, feedback):
    layer, plain, alone = make(feedback=feedback), make(), make(feedback=feedback)
    layer.initialise(Streams(3, [5, 7]), np.float32)
    plain.initialise(Streams(3, [5, 7]), np.float32)
    alone.initialise(Streams(3, [7]), np.float32)
    w, b = layer.weight.value, layer.feedback_matrix.value
    np.testing.assert_array_equal(w, plain.weight.value)
    np.testing.assert_array_equal(b[1], alone.feedback_matrix.value[0])
    assert b.dtype == np.float32
    assert b.shape == w.shape
    assert b.strides == w.strides
    bound = 1 / np.sqrt(layer.inputs)
    assert 0.8 * bound < np.abs(b).max() <= bound
    assert not np.isin(b, w).any()
    before = b.copy()
    layer.initialise(Streams(4, [5, 7]), np.float32)
    assert (layer.feedback_matrix.value != before).all()
    big = Dense(400, 50, feedback=feedback)
    big.initialise(Streams())
    w, b = (v.value.ravel() for v in (big.weight, big.feedback_matrix))
    assert b.std() == pytest.approx(1 / np.sqrt(3 * 400), rel=0.02)
    assert abs(np.corrcoef(w, b)[0, 1]) < 4 / np.sqrt(w.size)


@pytest.mark.parametrize("name", FEEDBACKS)
def test_frozen_matrices_stay_as_drawn_under_weight_decay_and_are_in_no_optimiser(name):
    network, fresh = train(name, Streams(0, [0, 1]))[0], layered(name)
    fresh.initialise(Streams(0, [0, 1]))
    pairs = [
        (layer, start)
        for layer, start in zip(network.walk(), fresh.walk(), strict=True)
        if hasattr(layer, "w")
    ]
    assert len(pairs) == 4
    for layer, start in pairs:
        assert (layer.weight.value != start.weight.value).all()
        own = layer.feedback_matrix
        assert (own is not None) == layer.feedback.keeps
        assert any(p is own for p in layer.parameters()) == layer.feedback.trained
        assert own is None or (own.grad is not None) == layer.feedback.trained
        if name in FROZEN:
            np.testing.assert_array_equal(own.value, start.feedback_matrix.value)
    if not FEEDBACKS[name].trained:
        assert len(network.parameters()) == 2 * 4 + 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FEEDBACKS)
def test_a_stack_trains_as_each_alone_bit_for_bit(name, dtype):
    """Also what is measured of 2 x 5 steps, and what the optimisers do to the feedback."""
    network, together = train(name, Streams(0, [2, 0]), dtype)
    for r, run in enumerate((2, 0)):
        one, alone = train(name, Streams(0, [run]), dtype)
        assert together.curves.keys() == alone.curves.keys()
        assert "alignment_angle/4" in alone.curves
        for curve in alone.curves:
            np.testing.assert_array_equal(together[curve][:, r], alone[curve][:, 0], err_msg=curve)
        for layer, single in zip(network.walk(), one.walk(), strict=True):
            for parameter, own in zip(matrices(layer), matrices(single), strict=True):
                assert parameter.dtype == dtype
                np.testing.assert_array_equal(parameter[r], own[0])


def matrices(layer):
    """Return the parameters of a layer and the feedback's matrix, whoever moves it."""
    own = getattr(layer, "feedback_matrix", None)
    return [p.value for p in layer.parameters()] + ([] if own is None else [own.value])


@ON_DEVICES
@pytest.mark.parametrize("name", FEEDBACKS)
def test_a_device_trains_the_same(name, device):
    need(device)
    streams = Streams(0, [0, 1])
    (here, history), (there, history_there) = (
        train(name, streams, device=each) for each in ("cpu", device)
    )
    for layer, other in zip(here.walk(), there.walk(), strict=True):
        for value, value_there in zip(matrices(layer), matrices(other), strict=True):
            np.testing.assert_allclose(to_host(value_there), value, rtol=1e-12, atol=1e-12)
    for curve in history.curves:
        np.testing.assert_allclose(history_there[curve], history[curve], rtol=1e-10, err_msg=curve)


@EACH
@EACH_LAYER
@pytest.mark.parametrize("seam", ["input_gradient", "estimator"])
def test_any_estimator_that_keeps_all_is_exact_beside_any_feedback(make, shape, feedback, seam):
    exact, x, g = prepared(make, shape, feedback)
    terms = g.shape[-1] if seam == "input_gradient" else g[0, ..., 0].size
    layer, *_ = prepared(make, shape, feedback, **{seam: AOP(topk, terms)})
    for got, expected in zip(passes(layer, x, g), passes(exact, x, g), strict=True):
        np.testing.assert_array_equal(got, expected)


@EACH
@EACH_LAYER
def test_a_sampled_forward_product_samples_the_feedbacks_matrix_with_it(make, shape, feedback):
    """Where the sample does not look at the weights: as a layer whose weights are the matrix,
    scaled by 1 / (K p)."""
    sampled = {"forward": AOP(POLICIES["uniform"], 2)}
    layer, x, g = prepared(make, shape, feedback, **sampled)
    plain, *_ = prepared(make, shape, Transpose(), **sampled)
    noise = np.random.default_rng(1).gumbel(size=(2, 4))
    step = Step(training=True, noise={layer: noise, plain: noise})
    dx = passes(layer, x, g, step)[1]
    if feedback.keeps:
        plain.weight.value[...] = feedback.matrix(layer.weight.value, layer.feedback_matrix.value)
    np.testing.assert_array_equal(dx, passes(plain, x, g, step)[1])
    # Of four inputs, two are kept at most.
    assert (dx == 0).all(axis=tuple(range(1, dx.ndim - 1))).sum() >= 2 * 2


@EACH
@EACH_LAYER
def test_an_exact_copy_carries_the_true_gradient_and_leaves_no_trace(make, shape, feedback):
    memory = AOP(topk, 2, RowMemory())
    layer, x, g = prepared(make, shape, feedback, estimator=memory)
    plain, *_ = prepared(make, shape, Transpose())
    noise = np.zeros((2, layer.noise_slots(shape[0])))
    step = Step(training=True, noise={layer: noise})
    layer.forward(x, step)
    layer.spent()
    before = [v.copy() for v in matrices(layer)]
    true = layer.exact_copy().backward(g, step)
    np.testing.assert_array_equal(true, passes(plain, x, g)[1])
    assert layer.spent() == {}
    assert layer.weight_product.state is layer.weight.grad is layer.bias.grad is None
    for value, start in zip(matrices(layer), before, strict=True):
        np.testing.assert_array_equal(value, start)


def test_saved_is_the_matrix_that_no_optimiser_moves_and_another_feedbacks_is_refused():
    layers = {name: prepared(*LAYERS["dense"], kind())[0] for name, kind in FEEDBACKS.items()}
    keeping = {name for name, layer in layers.items() if "feedback" in layer.saved()}
    assert keeping == {name for name, kind in FEEDBACKS.items() if kind.keeps and not kind.trained}
    layers["random"].feedback_matrix.value[...] = 9
    layers["weight_mirror"].restore(layers["random"].saved())
    assert (layers["weight_mirror"].feedback_matrix.value == 9).all()
    with pytest.raises(
        ValueError, match=r"Dense\(4, 6\): expected a state saved with the feedback Transpose\(\)"
    ):
        layers["transpose"].restore(layers["random"].saved())
    with pytest.raises(
        ValueError, match=r"with the feedback WeightMirror\(rate=0.01, .*\), got that of another"
    ):
        layers["weight_mirror"].restore(layers["transpose"].saved())


# Kolen-Pollack

MOVED_BY = {
    "sgd": lambda lr, wd: SGD(lr, weight_decay=wd),
    "momentum": lambda lr, wd: SGD(lr, 0.5, weight_decay=wd, decoupled=True),
    "nesterov": lambda lr, wd: SGD(lr, 0.5, nesterov=True, weight_decay=wd, decoupled=True),
    "adam": lambda lr, wd: Adam(lr, weight_decay=wd),
}
DECAYING = pytest.mark.parametrize("make_optimiser", MOVED_BY.values(), ids=MOVED_BY)
ESTIMATORS = {
    "exact": {},
    "topk": {"estimator": AOP(topk, 2)},
    "randk": {"estimator": AOP(randk, 2, RowMemory(0.25))},
    "sampled forward": {"forward": AOP(topk, 2)},
}


@DECAYING
@EACH_LAYER
@pytest.mark.parametrize("options", ESTIMATORS.values(), ids=ESTIMATORS)
def test_kolen_pollack_contracts_by_exactly_the_decay_at_each_step(
    make_optimiser, make, shape, options
):
    """Bit for bit on integers and halves (Adam divides: to rounding), at two decays in one
    stack."""
    rng, lr, decay = np.random.default_rng(0), np.array([0.5, 0.25]), 0.5
    layer, x, g = prepared(make, shape, KolenPollack(), **options)
    assert layer.parameters()[2] is layer.feedback_matrix
    optimiser, W, B = make_optimiser(lr, decay), layer.weight.value, layer.feedback_matrix.value
    for t in range(4):
        noise = {layer: rng.gumbel(size=(2, layer.noise_slots(shape[0])))}
        step = Step(t, lr, noise, training=True)
        apart, start = W - B, W.copy()
        layer.forward(integers(rng, x.shape), step)
        layer.backward(integers(rng, g.shape), step)
        # The same estimate, not one of its own.
        assert layer.feedback_matrix.grad is layer.weight.grad
        optimiser.update(layer.parameters(), step)
        assert (start != W).any(axis=(1, 2)).all()
        expected = (1 - lr * decay)[:, None, None] * apart
        if isinstance(optimiser, Adam):
            np.testing.assert_allclose(W - B, expected, rtol=1e-12, atol=1e-14)
        else:
            np.testing.assert_array_equal(W - B, expected)


@DECAYING
def test_kolen_pollack_contracts_in_training(make_optimiser):
    network, _ = train(
        "kolen_pollack", Streams(0, [0, 1]), moved_by=make_optimiser(0.05, 0.4), epochs=3
    )
    fresh = layered("kolen_pollack")
    fresh.initialise(Streams(0, [0, 1]))
    layers = [
        (a, b) for a, b in zip(network.walk(), fresh.walk(), strict=True) if hasattr(a, "feedback")
    ]
    for layer, start in layers:
        drawn = start.weight.value - start.feedback_matrix.value
        now = layer.weight.value - layer.feedback_matrix.value
        np.testing.assert_allclose(now, (1 - 0.05 * 0.4) ** 15 * drawn, rtol=1e-12, atol=1e-14)


def test_without_decay_kolen_pollack_stays_apart_and_coupled_decay_does_not_contract_as_it_should():
    """Measured with momentum 0.9 and lr wd = 0.02: ratios of 0.98, then 0.9616, and 0.89 at the
    sixth step."""

    def ratios(optimiser, steps=6):
        layer, x, g = prepared(*LAYERS["dense"], KolenPollack())
        norms = []
        for t in range(steps + 1):
            norms.append(np.linalg.norm(layer.weight.value - layer.feedback_matrix.value))
            layer.forward(x)
            layer.backward(g)
            optimiser.update(layer.parameters(), Step(t, optimiser.lr(t)))
        return np.array(norms[1:]) / norms[:-1]

    np.testing.assert_array_equal(ratios(SGD(0.5, 0.5)), 1)
    np.testing.assert_allclose(
        ratios(SGD(0.02, 0.9, weight_decay=1.0, decoupled=True)), 0.98, rtol=1e-12
    )
    coupled, velocity, distance, by_formula = ratios(SGD(0.02, 0.9, weight_decay=1.0)), 0.0, 1.0, []
    for _ in range(6):
        velocity = 0.9 * velocity + distance
        by_formula.append(1 - 0.02 * velocity / distance)
        distance *= by_formula[-1]
    np.testing.assert_allclose(coupled, by_formula, rtol=1e-12)
    np.testing.assert_allclose(coupled[[0, 1, 5]], [0.98, 0.9616, 0.8897], atol=5e-5)


# Feedback alignment and weight mirrors learn what the transposed weights would have told

REGRESSION = (
    np.random.default_rng(5).normal(size=(64, 8)),
    np.random.default_rng(6).normal(size=(8, 5)),
)


@pytest.mark.parametrize(
    ("feedback", "degrees"),
    [(Transpose(), 0.0), (RandomFeedback(), 45.0), (SignSymmetric(), 30.0), (KolenPollack(), 1.0)],
    ids=str,
)
def test_the_weights_align_themselves_with_their_feedback(feedback, degrees):
    """A linear network learns a linear map (Lillicrap et al. 2016, figure 1): the angle falls well
    below 90 degrees."""
    network, streams = (
        Chain(Dense(8, 12), Hook(), Dense(12, 5, feedback=feedback)),
        Streams(0, range(3)),
    )
    network.initialise(streams)
    for parameter in network.parameters():
        parameter.value *= 0.1
    x, teacher = REGRESSION
    options = {
        "streams": streams,
        "batch_size": 16,
        "epochs": 60,
        "rule": Backprop((MeasureAlignment(4),)),
    }
    history = fit(
        network, MeanSquaredError(), SGD(0.1, weight_decay=0.1), (x, x @ teacher), **options
    )
    angle = history["alignment_angle"]
    assert (angle[-1] <= degrees).all()
    assert (angle[0] > degrees + 10).all() or not degrees
    assert (history["train_loss"][-1] < 0.1 * history["train_loss"][0]).all()


@EACH_LAYER
@pytest.mark.parametrize("runs", [[0, 1], [3, 3]], ids=["runs", "one run"])
def test_a_weight_mirror_is_its_formula_on_its_own_noise(make, shape, runs):
    mirror = WeightMirror(rate=0.25, decay=0.125, rows=5, every=2)
    layer, streams = make(feedback=mirror), Streams(1, runs)
    layer.initialise(streams, index=7)
    x = np.random.default_rng(0).normal(size=(2, *shape))
    w, b = layer.weight.value.copy(), layer.feedback_matrix.value.copy()
    N, M = layer.inputs, mirror.rows
    for t in range(5):
        step, before = Step(t, training=True), layer.feedback_matrix.value.copy()
        g = np.ones_like(layer.forward(x, step))
        layer.backward(g, Step(t))  # in evaluation, and
        layer.backward(g, step, needs_input=False)  # where nobody asks, nothing moves
        np.testing.assert_array_equal(layer.feedback_matrix.value, before)
        layer.spent()
        dx = layer.backward(g, step)
        noise = streams.normal(Purpose.NOISE, 7, step=t, size=M * N, xp=np)
        for r in range(2) if t % 2 == 0 else ():
            z = noise[min(r, len(noise) - 1)].reshape(M, N)
            y = z @ w[r]
            b[r] = (1 - 0.125) * b[r] + 0.25 * (y.T @ z / M).T
        np.testing.assert_allclose(layer.feedback_matrix.value, b, rtol=1e-12, atol=1e-14)
        spent, own = layer.spent(), 4 * M * N * layer.outputs if t % 2 == 0 else 0
        np.testing.assert_array_equal(spent["overhead_flops"], own)
        rows = math.prod(g.shape[1:-1])
        np.testing.assert_array_equal(spent["flops"] - spent["exact_flops"], own)
        np.testing.assert_array_equal(spent["exact_flops"], 2 * 2 * rows * N * layer.outputs)
        plain, *_ = prepared(make, shape, Transpose())
        plain.weight.value[...] = layer.feedback_matrix.value  # already moved
        plain.forward(x)
        np.testing.assert_array_equal(dx, plain.backward(g))
    np.testing.assert_array_equal(layer.weight.value, w)


def test_a_weight_mirror_tends_to_the_weights_where_the_noise_is_white():
    """Fed with x^T x / M = I, exactly: B -> (rate / decay) W^T, by the decay a step."""
    rng, x = (
        np.random.default_rng(0),
        np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1.0]]),
    )
    w, b = integers(rng, (2, 4, 3)), integers(rng, (2, 4, 3))
    mirror, start = WeightMirror(rate=0.25, decay=0.5, rows=4), b.copy()
    for t in range(6):
        flops = mirror.advance(w, b, lambda n: x.reshape(1, n), Step(t))
        shrunk = 0.5 ** (t + 1)
        np.testing.assert_array_equal(b, shrunk * start + (1 - shrunk) * 0.5 * w)
        assert flops == 2 * (2 * 4 * 4 * 3)


def test_a_weight_mirrors_angle_falls():
    """What it sends back is compared with the truth; the weights hardly move."""
    mirror = WeightMirror(rate=0.1, decay=0.1, rows=200)
    network = Chain(Dense(6, 8), Tanh(), Hook(), Dense(8, 5, feedback=mirror))
    streams = Streams(0, range(3))
    network.initialise(streams)
    data = (
        np.random.default_rng(0).normal(size=(80, 6)),
        np.random.default_rng(1).integers(0, 5, 80),
    )
    options = {
        "streams": streams,
        "batch_size": 8,
        "epochs": 6,
        "rule": Backprop((MeasureAlignment(),)),
    }
    history = fit(network, CrossEntropy(), SGD(1e-3), data, **options)
    angle = history["alignment_angle"]
    assert (angle[0] > 25).all()
    assert (angle[-1] < 15).all()
    w, b = network.layers[-1].weight.value, network.layers[-1].feedback_matrix.value
    assert np.abs(b - w).max() < 0.15 < np.abs(w).max()  # rate = decay: B tends to W^T itself


@pytest.mark.parametrize(
    "options",
    [{"rate": 0}, {"rate": np.inf}, {"decay": 0.0}, {"decay": 1.0}, {"rows": 0}, {"every": 0}],
    ids=str,
)
def test_wrong_weight_mirrors_get_a_sentence(options):
    with pytest.raises(
        ValueError,
        match=r"expected a finite rate > 0, decay above 0 and below 1, rows .* got WeightMirror\(",
    ):
        WeightMirror(**options)


@pytest.mark.parametrize("feedback", ["random", RandomFeedback])
def test_what_is_no_feedback_is_refused(feedback):
    with pytest.raises(
        TypeError,
        match=r"expected a feedback like RandomFeedback\(\), got .*FEEDBACKS has them by name",
    ):
        Dense(3, 2, feedback=feedback)


@dataclass(frozen=True)
class Signs(Feedback):
    """Transports the signs of the weights, and keeps no matrix of its own."""

    keeps = False

    def matrix(self, w, b):
        return np.sign(w)


@pytest.mark.parametrize(
    "make", [lambda f: Dense(4, 3, feedback=f), lambda f: Conv2d(1, 3, 2, feedback=f)]
)
def test_a_feedback_without_a_matrix_of_its_own_is_asked_for_one(make):
    """It would train by plain back-propagation, without a word, if only matrices that are kept
    counted."""
    layer = make(Signs())
    layer.initialise(Streams(0, range(2)))
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    if isinstance(layer, Conv2d):
        x = x.reshape(2, 5, 2, 2, 1)
    g = np.random.default_rng(1).normal(size=layer.forward(x).shape)
    dx = layer.backward(g)
    signs = make(Transpose())
    signs.initialise(Streams(0, range(2)))
    signs.weight.value[...] = np.sign(layer.weight.value)
    signs.forward(x)
    np.testing.assert_array_equal(dx, signs.backward(g))
    assert layer.feedback_matrix is None
