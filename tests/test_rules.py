"""Rules: what a rule is asked for, what is looked at in between, pieces that do not wait for each
other."""

import itertools
import threading

import numpy as np
import pytest

from aopnp import (
    SGD,
    BatchNorm,
    Chain,
    CrossEntropy,
    Dense,
    MeanSquaredError,
    ReLU,
    Streams,
    Tanh,
    fit,
)
from aopnp.arrays import array_module, to_device
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.estimators.step import EVALUATION
from aopnp.nn import Residual
from aopnp.nn.feedback import DFA, DIRECT, FDFA, Hook
from aopnp.training import Backprop, MeasureAlignment, Unlocked, backprop, learn_jacobians
from aopnp.training.selection_noise import epoch_noise
from tests.devices import need
from tests.feedback import NETWORKS, direct, layered, optimiser, rule_for, train

TRAINING = Step(training=True)
DIRECT_NAMES = pytest.mark.parametrize("name", DIRECT)
SHALLOW = {"streams": Streams(0, range(2)), "batch_size": 8, "epochs": 1}


def data(classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 4)), rng.integers(0, classes, 24)


def parameters(network):
    own = [[p.value for p in layer.parameters()] for layer in network.walk()]
    return [value for values in own for value in values]


# Between the forward and the backward pass


def test_what_looks_in_between_is_called_in_order_with_this_loss_before_gradients_are_filled():
    network, loss, calls = Chain(Dense(4, 3)), CrossEntropy(), []
    network.initialise(Streams())

    def look(name):
        def called(seen, own_loss, step):
            filled = [parameter.grad is not None for parameter in seen.parameters()]
            calls.append(
                (
                    name,
                    seen is network,
                    own_loss is loss,
                    step.loss is loss,
                    step.index,
                    any(filled),
                )
            )

        return called

    x, labels = data()
    value, y = Backprop((look("a"), look("b")))(
        network, loss, x[None], labels[None], Step(7, training=True)
    )
    assert calls == [(name, True, True, True, 7, False) for name in ("a", "b")]
    np.testing.assert_array_equal(y, network.forward(x[None]))
    np.testing.assert_array_equal(value, loss.forward(y, labels[None]))
    gradients = [dense(parameter.grad) for parameter in network.parameters()]
    np.testing.assert_allclose(gradients[0], x.T[None] @ loss.backward(), rtol=1e-13)


def test_a_step_that_has_its_loss_is_not_copied():
    network, loss, other, seen = Chain(Dense(4, 3)), CrossEntropy(), CrossEntropy(), []
    network.initialise(Streams())
    x, labels = data()
    rule = Backprop((lambda network, loss, step: seen.append(step),))
    steps = [Step(loss=loss), Step(), Step(loss=other)]
    for step in steps:
        rule(network, loss, x[None], labels[None], step)
    assert all(step.loss is loss for step in seen)
    assert [after is before for after, before in zip(seen, steps, strict=True)] == [
        True,
        False,
        False,
    ]


def test_the_loop_gives_every_step_its_loss():
    network, loss, seen = Chain(Dense(4, 3)), CrossEntropy(), []

    class Noting(Backprop):
        def __call__(self, network, loss, x, target, step):
            seen.append(step.loss)
            return super().__call__(network, loss, x, target, step)

    network.initialise(SHALLOW["streams"])
    fit(network, loss, SGD(0.1), data(), rule=Noting(), **SHALLOW)
    assert len(seen) == 3
    assert all(each is loss for each in seen)


def test_training_follows_the_rule_that_it_is_given():
    seen = []

    class Halved(Backprop):
        def __call__(self, network, loss, x, target, step):
            seen.append(step.index)
            answer = super().__call__(network, loss, x, target, step)
            for parameter in network.parameters():
                parameter.grad = dense(parameter.grad) / 2
            return answer

    results = []
    for rule, lr in ((Halved(), 1.0), (backprop, 0.5)):
        network = Chain(Dense(4, 6), Tanh(), Dense(6, 3))
        network.initialise(SHALLOW["streams"])
        fit(network, CrossEntropy(), SGD(lr), data(), rule=rule, **SHALLOW)
        results.append(parameters(network))
    assert seen == [0, 1, 2]
    for half, whole in zip(*results, strict=True):
        np.testing.assert_allclose(half, whole, rtol=1e-12, atol=1e-14)


# The alignment angle


@pytest.mark.parametrize(
    ("b", "degrees"),
    [
        ((1, 0), 0.0),
        ((1, 1), 45.0),
        ((0, 1), 90.0),
        ((-2, 0), 180.0),
        ((0, 0), 90.0),
        ((np.nan, 0), np.nan),
    ],
    ids=str,
)
def test_the_alignment_angle_by_hand(b, degrees):
    """One output: the true gradient points along W_2, the injected one along B."""
    network = Chain(Dense(4, 2), DFA(1, 2), Dense(2, 1))
    network.initialise(SHALLOW["streams"])
    network.layers[2].weight.value[...] = np.array([[3.0], [0.0]])
    network.layers[1].b.value[...] = b
    x, rule = data()[0], Backprop((MeasureAlignment(),))
    rule(network, MeanSquaredError(), x[None], np.ones((1, 24, 1)), TRAINING)
    seen = network.layers[1].observations()
    # Arccos near 1.
    np.testing.assert_allclose(seen.pop("alignment_angle"), [degrees] * 2, atol=1e-5)
    assert seen == network.layers[1].observations() == {}


def test_the_angle_is_over_the_whole_batch_and_the_mean_of_its_measurements():
    hook, rng = Hook(), np.random.default_rng(0)
    pairs = rng.normal(size=(3, 2, 2, 5, 4))
    for true, injected in pairs:
        assert hook.exact_copy().backward(true) is true
        assert hook.backward(injected) is injected
        assert hook.backward(injected) is injected  # nothing true to compare it with
    angles = []
    for r in range(2):
        a, b = pairs[:, 0, r].reshape(3, -1), pairs[:, 1, r].reshape(3, -1)
        cosines = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        angles.append(np.degrees(np.arccos(cosines)).mean())
    np.testing.assert_allclose(hook.observations()["alignment_angle"], angles, rtol=1e-13)


def test_the_mean_angle_of_many_steps_in_a_stack_is_each_alone_bit_for_bit():
    pairs = np.random.default_rng(0).normal(size=(150, 2, 3, 5, 4))

    def mean(pairs):
        hook = Hook()
        for true, injected in pairs:
            hook.exact_copy().backward(true)
            hook.backward(injected)
        return hook.observations()["alignment_angle"]

    together = mean(pairs)
    for r in range(3):
        np.testing.assert_array_equal(together[r], mean(pairs[:, :, r : r + 1])[0])


def test_parallel_gradients_whose_cosine_is_rounded_above_1_have_an_angle():
    hook, true = Hook(), np.random.default_rng(0).normal(size=(200, 5, 4))
    for factor, degrees in ((3.0, 0), (-3.0, 180)):
        hook.exact_copy().backward(true)
        hook.backward(factor * true)
        np.testing.assert_allclose(hook.observations()["alignment_angle"], degrees, atol=1e-5)


def test_the_angle_of_large_and_small_gradients_in_float32_is_measured_in_float64():
    hook = Hook()
    for size in (1e-25, 1e25):
        hook.exact_copy().backward(np.array([[[size, 0.0]]], np.float32))
        hook.backward(np.array([[[size, size]]], np.float32))
        np.testing.assert_allclose(hook.observations()["alignment_angle"], [45], rtol=1e-7)


def test_back_propagation_is_aligned_with_itself_bit_for_bit():
    _, history = train("transpose", Streams(0, [0, 1]))
    for number in (4, 11):
        np.testing.assert_array_equal(history[f"alignment_angle/{number}"], 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_measuring_changes_nothing_and_is_not_counted(name):
    """Dropout, batch norm, memories, a feedback that advances, moments: all as without, bit for
    bit."""
    streams = Streams(0, [0, 1])
    (measured, with_angles), (plain, without) = (
        train(name, streams, measure=each) for each in (True, False)
    )
    for layer, other in zip(measured.walk(), plain.walk(), strict=True):
        for value, own in zip(parameters(layer), parameters(other), strict=True):
            np.testing.assert_array_equal(value, own)
    angles = {curve for curve in with_angles.curves if curve.startswith("alignment_angle")}
    assert with_angles.curves.keys() - angles == without.curves.keys()
    assert len(angles) == 2
    for curve in without.curves:
        np.testing.assert_array_equal(with_angles[curve], without[curve], err_msg=curve)
    for curve in angles:
        assert np.isfinite(with_angles[curve]).all()


def test_it_measures_at_every_so_many_steps():
    network = Chain(Dense(4, 5), DFA(3, 5), Dense(5, 3))
    network.initialise(Streams())
    rule, loss, (x, labels) = Backprop((MeasureAlignment(3),)), CrossEntropy(), data()
    measured = []
    for t in range(7):
        rule(network, loss, x[None], labels[None], Step(t, training=True))
        measured.append(bool(network.layers[1].observations()))
    assert measured == [True, False, False, True, False, False, True]
    with pytest.raises(ValueError, match="expected every >= 1 steps between measurements, got 0"):
        MeasureAlignment(0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_on_a_device_waits_for_nothing(name):
    need("cuda-sim")
    from aopnp.arrays.cuda_sim.device import no_waiting

    network, loss, streams, moved_by = (
        NETWORKS[name](name),
        CrossEntropy(),
        Streams(0, [0, 1]),
        optimiser(),
    )
    network.initialise(streams, np.float32, "cuda-sim")
    x, labels = np.zeros((2, 8, 32), np.float32), np.zeros((1, 8), np.int64)
    x, labels = to_device(x, "cuda-sim"), to_device(labels, "cuda-sim")
    network.forward(x)
    noise = epoch_noise(network, streams, 1, 2, 8, array_module(x))
    with no_waiting():
        for t in range(2):
            own = {product: each[t] for product, each in noise.items()}
            step = Step(t, moved_by.lr(t), own, training=True, group_lr=moved_by.group_lr(t))
            rule_for(network, MeasureAlignment())(network, loss, x, labels, step)
            moved_by.update(network.parameters(), step)


# Segments


def deep(kind=DFA):
    """Return a network in four segments."""
    lower = [
        Dense(4, 6),
        BatchNorm(6),
        Tanh(),
        kind(3, 6),
        Dense(6, 5),
        ReLU(),
        Dense(5, 5),
        kind(3, 5),
    ]
    return Chain(*lower, Chain(Dense(5, 4), Tanh()), kind(3, 4), Dense(4, 3))


@pytest.mark.parametrize("kind", DIRECT.values(), ids=DIRECT)
def test_a_chain_falls_into_segments_that_can_go_back_in_any_order(kind):
    network, loss, (x, labels) = deep(kind), CrossEntropy(), data()
    network.initialise(Streams(0, range(2)))
    segments = network.segments()
    assert [len(segment.layers) for segment in segments] == [4, 4, 2, 1]
    assert [layer for segment in segments for layer in segment.layers] == list(network.layers)
    assert [len(s.layers) for s in network.exact_copy().segments()] == [11]

    def gradients(backward):
        class InOrder(Backprop):
            def backward(self, network, g, step):
                backward(g, step)

        InOrder(rule_for(network).between)(network, loss, x[None], labels[None], TRAINING)
        answer = [dense(parameter.grad) for parameter in network.parameters()]
        for parameter in network.parameters():
            parameter.grad = None
        return answer

    expected = gradients(lambda g, step: network.backward(g, step, needs_input=False))
    for order in itertools.permutations(range(4)):

        def in_order(g, step, order=order):
            for k in order:
                segments[k].backward(g if k == 3 else None, step, needs_input=False)

        for gradient, own in zip(expected, gradients(in_order), strict=True):
            np.testing.assert_array_equal(gradient, own)


@DIRECT_NAMES
def test_unlocked_trains_as_back_propagation_does_bit_for_bit(name):
    streams, results = Streams(0, [0, 1]), []
    for rule in (Backprop, Unlocked):
        network, moved_by = deep(DIRECT[name]), optimiser()
        network.initialise(streams)
        between = (MeasureAlignment(), *rule_for(network).between)
        options = {"streams": streams, "batch_size": 8, "epochs": 2, "rule": rule(between)}
        results.append(
            (parameters(network), fit(network, CrossEntropy(), moved_by, data(), **options))
        )
    for value, own in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(value, own)
    assert results[0][1].curves.keys() == results[1][1].curves.keys()
    for curve in results[0][1].curves:
        np.testing.assert_array_equal(results[0][1][curve], results[1][1][curve])


class Meeting(Hook):
    """A layer whose backward pass waits until another one's has begun."""

    def __init__(self, barrier):
        super().__init__()
        self.barrier = barrier

    def backward(self, g, step=EVALUATION, *, needs_input=True):
        self.barrier.wait(timeout=10)
        return super().backward(g, step, needs_input=needs_input)


def test_segments_do_run_at_once():
    """Each waits for the other: one after another they would never come to an end."""
    barrier = threading.Barrier(2)
    network = Chain(
        Dense(4, 5), Meeting(barrier), DFA(3, 5), Dense(5, 4), Meeting(barrier), Dense(4, 3)
    )
    network.initialise(Streams())
    x, labels = data()
    Unlocked()(network, CrossEntropy(), x[None], labels[None], TRAINING)
    assert all(parameter.grad is not None for parameter in network.parameters())
    barrier.abort()
    with pytest.raises(threading.BrokenBarrierError):
        Unlocked()(network, CrossEntropy(), x[None], labels[None], TRAINING)


@pytest.mark.parametrize("at", [1, 5, 9])
def test_an_exception_in_a_thread_surfaces_when_all_have_come_to_an_end(at):
    class Broken(Hook):
        def backward(self, g, step=EVALUATION, *, needs_input=True):
            raise FloatingPointError("broken")

    network = deep()
    network.layers = (*network.layers[:at], Broken(), *network.layers[at:])
    network.initialise(Streams())
    x, labels = data()
    with pytest.raises(FloatingPointError, match="broken"):
        Unlocked(workers=1)(network, CrossEntropy(), x[None], labels[None], TRAINING)
    segments = network.segments()
    broken = next(
        k
        for k, segment in enumerate(segments)
        if any(isinstance(x, Broken) for x in segment.layers)
    )
    for segment in segments[:broken] + segments[broken + 1 :]:
        assert all(parameter.grad is not None for parameter in segment.parameters())


def test_an_overflow_in_a_thread_is_treated_as_outside_of_it():
    """As in `fit`, where a replica that diverges warns nobody; new threads know nothing of NumPy's
    settings."""
    network = Chain(Dense(4, 6), ReLU(), DFA(3, 6), Dense(6, 3))
    network.initialise(Streams())
    network.layers[2].b.value[...] = 1e308
    x, rule = data()[0][None], Unlocked()
    with np.errstate(over="ignore", invalid="ignore"):
        rule(network, MeanSquaredError(), x, np.full((1, 24, 3), 1e9), TRAINING)
    assert not np.isfinite(network.layers[0].bias.grad).any()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        rule(network, MeanSquaredError(), x, np.full((1, 24, 3), 1e9), TRAINING)


def test_unlocked_wants_a_chain_and_a_worker():
    layer = Dense(4, 3)
    layer.initialise(Streams())
    x, labels = data()
    with pytest.raises(
        ValueError, match="expected a Chain, whose layers can be told apart, got Dense"
    ):
        Unlocked()(layer, CrossEntropy(), x[None], labels[None], TRAINING)
    with pytest.raises(ValueError, match="expected at least one worker, got 0"):
        Unlocked(workers=0)


def test_a_residual_is_one_segment_and_listens_unless_all_its_branches_are_deaf():
    deaf, hears = Chain(Dense(4, 4), DFA(3, 4)), Dense(4, 4)
    cases = [
        (Residual(Dense(4, 4), DFA(3, 4)), True),  # beside it the input itself
        (Residual(deaf, shortcut=hears), True),
        (Residual(hears, shortcut=deaf), True),
        (Residual(deaf, shortcut=Chain(Dense(4, 4), DFA(3, 4))), False),
    ]
    x, labels = data()
    for block, listens in cases:
        assert block.uses_upstream_gradient == listens
        assert block.exact_copy().uses_upstream_gradient
        assert block.segments() == [block]
        network = Chain(Dense(4, 4), block, Dense(4, 3))
        network.initialise(Streams(0, range(2)))
        backprop(network, CrossEntropy(), x[None], labels[None], TRAINING)
        last = network.layers[2]
        assert bool(last.input_product.spent()) == listens
        assert all(
            np.isfinite(dense(p.grad)).all() and dense(p.grad).any() for p in network.parameters()
        )
        top = Chain(block, Dense(4, 3))
        assert len(top.segments()) == (1 if listens else 2)


# Tangents for FDFA


def test_learning_jacobians_needs_somebody_who_learns():
    network = Chain(Dense(4, 3))
    network.initialise(Streams())
    x, labels = data()
    with pytest.raises(ValueError, match="expected a direction, got none"):
        Backprop((learn_jacobians,))(network, CrossEntropy(), x[None], labels[None], TRAINING)


def test_one_joint_tangent_reaches_every_hook():
    network = deep(FDFA)
    network.initialise(Streams(0, range(2)))
    x = data()[0]
    network.forward(x[None], TRAINING)
    learn_jacobians(network, CrossEntropy(), Step(3, training=True))
    hooks = [layer for layer in network.walk() if isinstance(layer, FDFA)]
    d = hooks[0].output_tangent
    assert all(hook.output_tangent is d for hook in hooks)
    assert d.shape == (2, 24, 3)
    perturbations = [hook.perturbation for hook in hooks]
    total = 0
    for hook, own in zip(
        hooks, perturbations, strict=True
    ):  # one by one they add up to the joint one
        for other in hooks:
            other.perturbation = None
        hook.perturbation = own
        total = total + network.tangent(None)
    np.testing.assert_allclose(d, total, rtol=1e-11, atol=1e-13)
    assert not np.isin(perturbations[0], perturbations[1]).any()  # each hook draws its own


def test_the_networks_of_the_table_want_their_rules():
    assert rule_for(layered("random")) is backprop
    assert rule_for(direct("fdfa")).between == (learn_jacobians,)


def test_functions_in_between_come_in_a_tuple():
    with pytest.raises(
        TypeError, match=r"expected a tuple of functions, got .*; write Backprop\(\(function,\)\)"
    ):
        Backprop(learn_jacobians)
