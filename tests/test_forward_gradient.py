"""The rule: clipping and its share, what a step costs, what it keeps, training that goes on as if
never stopped."""

import tracemalloc

import numpy as np
import pytest

from aopnp import SGD, Chain, CrossEntropy, Dense, Streams, Tanh, fit
from aopnp.data.batches import epoch_batches
from aopnp.estimators import Step
from aopnp.nn import BatchNorm, Dropout
from aopnp.nn.feedback import DFA, FDFA, KolenPollack, RandomFeedback
from aopnp.optim import Adam
from aopnp.training.checkpoint import load, save
from aopnp.training.directions import (
    DIRECTIONS,
    Activity,
    Aligned,
    Anchor,
    ForwardPass,
    Gaussian,
    Orthogonal,
    Rademacher,
    RowSpace,
)
from aopnp.training.directions.strategy import along
from aopnp.training.rules import ForwardGradient, backprop

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(24, 6)), RNG.integers(0, 3, 24)
BATCH = X[None, :4], LABELS[None, :4]


def build(R=1, dtype=np.float64, runs=None):
    network = Chain(Dense(6, 5), BatchNorm(5), Tanh(), Dropout(0.2), Dense(5, 3))
    streams = Streams(0, runs or range(R))
    network.initialise(streams, dtype)
    return network, streams


def one_step(rule, network, streams, index=0):
    rule.begin(network, streams)
    value, y = rule(network, CrossEntropy(), *BATCH, Step(index, training=True))
    return value, y, [parameter.grad for parameter in network.parameters()]


def test_the_estimate_is_the_mean_of_clipped_derivatives_times_their_directions():
    network, streams = build(2)
    loss, step = CrossEntropy(), Step(3, training=True)
    loss.forward(network.forward(BATCH[0], step), BATCH[1])
    forward_pass = ForwardPass(network, loss, step, streams, 5)
    v = Rademacher().sample(forward_pass, range(5), None)
    d = along(forward_pass, v)
    cap = float(np.median(np.abs(d)))
    for clip in (cap, None, 1e9, 1e-9):
        cut = d if clip is None else np.clip(d, -clip, clip)
        rule = ForwardGradient(Rademacher(), 5, clip)
        value, y, grads = one_step(rule, network, streams, index=3)
        np.testing.assert_array_equal(value, loss.forward(y, BATCH[1]))
        for got, own in zip(grads, v, strict=True):
            expected = np.einsum("jr,jr...->r...", cut, own) / 5
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
        seen = rule.observations()
        if clip is None:
            assert seen == {}
        else:
            np.testing.assert_allclose(seen["clipped_share"], (np.abs(d) > clip).mean(0))
        assert rule.observations() == {}


def test_activity_perturbation_clips_the_derivative_of_each_sample():
    network, streams = Chain(Dense(6, 5), Tanh(), Dense(5, 3)), Streams()
    network.initialise(streams)
    rule = ForwardGradient(Activity(), 1, 1e-9)
    _, _, grads = one_step(rule, network, streams)
    np.testing.assert_array_equal(rule.observations()["clipped_share"], [1.0])
    u = Activity().sample(
        ForwardPass(network, CrossEntropy(), Step(0, training=True), streams, 1), [0], None
    )
    # Every sample's own derivative is cut to +-1e-9, then divided by N = 4 samples.
    np.testing.assert_allclose(
        np.abs(np.linalg.lstsq(u[1][0, 0].T, grads[3][0], rcond=None)[0]).max(), 1e-9 / 4
    )


def test_the_clipped_share_is_in_the_history_as_a_mean_over_the_steps():
    network, streams = build(2)
    options = {"streams": streams, "batch_size": 4, "epochs": 2}
    history = fit(
        network,
        CrossEntropy(),
        SGD(0.01),
        (X, LABELS),
        rule=ForwardGradient(num_dir=3, clip=0.4),
        **options,
    )
    shares = history["clipped_share"]
    assert shares.shape == (2, 2)
    # Of 6 steps with 3 directions.
    np.testing.assert_allclose(shares * 18, np.rint(shares * 18), atol=1e-9)
    assert shares.min() > 0
    assert shares.max() < 1
    unclipped = fit(
        network, CrossEntropy(), SGD(0.01), (X, LABELS), rule=ForwardGradient(clip=None), **options
    )
    assert "clipped_share" not in unclipped.curves


def test_a_derivative_that_is_not_a_number_stays_visible():
    network, streams = build()
    network.parameters()[0].value[0, 0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        _, _, grads = one_step(ForwardGradient(), network, streams)
    assert all(np.isnan(g).all() for g in grads)


def plain(R=2):
    network = Chain(Dense(6, 5), Tanh(), Dense(5, 3))
    network.initialise(Streams(0, range(R)))
    return network


@pytest.mark.parametrize("runs", [[0], [0, 1], [1, 1]], ids=["one", "two", "two of one run"])
@pytest.mark.parametrize("num_dir", [1, 7])
def test_a_step_costs_1_plus_2m_forward_passes_and_the_first_layer_1_plus_m(num_dir, runs):
    network, streams, M = plain(len(runs)), Streams(0, runs), 4
    one_step(ForwardGradient(num_dir=num_dir), network, streams)
    first, second = 2 * M * 6 * 5, 2 * M * 5 * 3
    spent = [layer.spent() for layer in network.layers]
    np.testing.assert_array_equal(spent[0]["flops"], [(1 + num_dir) * first] * len(runs))
    np.testing.assert_array_equal(spent[2]["flops"], [(1 + 2 * num_dir) * second] * len(runs))
    np.testing.assert_array_equal(spent[2]["overhead_flops"], [2 * num_dir * second] * len(runs))
    backprop(network, CrossEntropy(), *BATCH, Step(training=True))
    spent = [layer.spent() for layer in network.layers]
    np.testing.assert_array_equal(spent[0]["flops"], [2 * first] * len(runs))  # the same at m = 1
    np.testing.assert_array_equal(spent[2]["flops"], [3 * second] * len(runs))


def test_activity_perturbation_multiplies_weights_once_however_many_directions():
    network, streams, M, m = plain(1), Streams(), 4, 5
    one_step(ForwardGradient(Activity(), m), network, streams)
    first, second = 2 * M * 6 * 5, 2 * M * 5 * 3
    np.testing.assert_array_equal(network.layers[0].spent()["flops"], [(1 + 1) * first])
    np.testing.assert_array_equal(network.layers[2].spent()["flops"], [(1 + m + 1) * second])


@pytest.mark.parametrize("strategy", [Rademacher(), Gaussian(), RowSpace(), Activity()], ids=str)
def test_memory_does_not_grow_with_the_number_of_directions_and_nothing_is_kept(strategy):
    network, streams = Chain(Dense(6, 400), Tanh(), Dense(400, 40)), Streams()
    network.initialise(streams)
    peaks = []
    for num_dir in (2, 2, 20):  # the first compiles
        rule = ForwardGradient(strategy, num_dir)
        tracemalloc.start()
        one_step(rule, network, streams)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert not rule.state
        assert all(p.tangent is None for p in network.parameters())
        assert network.layers[0].perturbation is None
    assert peaks[2] < 1.1 * peaks[1]


STATEFUL = [
    Orthogonal(2),
    Orthogonal(2, flat=False),
    Anchor(4),
    Anchor(None),
    Aligned(0.2),
    Rademacher(),
]


@pytest.mark.parametrize("strategy", STATEFUL, ids=str)
def test_training_goes_on_as_if_it_had_never_stopped(strategy, tmp_path):
    def train(network, streams, rule, optimiser, first, last):
        options = {"streams": streams, "batch_size": 4, "first_epoch": first, "epochs": last}
        return fit(network, CrossEntropy(), optimiser, (X, LABELS), rule=rule, **options)

    network, streams = build(2)
    whole, optimiser = ForwardGradient(strategy, 2), Adam(0.01)
    history = train(network, streams, whole, optimiser, 1, 3)
    stopped, its_streams = build(2)
    rule, its_optimiser = ForwardGradient(strategy, 2), Adam(0.01)
    train(stopped, its_streams, rule, its_optimiser, 1, 1)
    save(tmp_path / "network.npz", stopped, its_optimiser, streams=its_streams, epoch=1, rule=rule)
    again, its_streams = build(2)
    rule, its_optimiser = ForwardGradient(strategy, 2), Adam(0.01)
    assert load(tmp_path / "network.npz", again, its_optimiser, streams=its_streams, rule=rule) == 1
    rest = train(again, its_streams, rule, its_optimiser, 2, 3)
    for name in history.curves:
        np.testing.assert_array_equal(rest[name], history[name][1:])
    for got, want in zip(again.parameters(), network.parameters(), strict=True):
        np.testing.assert_array_equal(got.value, want.value)


def test_what_another_rule_has_saved_is_refused(tmp_path):
    network, streams = build()
    rule, optimiser, path = ForwardGradient(Orthogonal()), SGD(0.1), tmp_path / "network.npz"
    one_step(rule, network, streams)
    save(path, network, optimiser, streams=streams, epoch=0, rule=rule)
    for other in (
        backprop,
        ForwardGradient(),
        ForwardGradient(Orthogonal(), 2),
        ForwardGradient(Orthogonal(5)),
    ):
        with pytest.raises(ValueError, match=r"expected a rule .* got Orthogonal"):
            load(path, network, optimiser, streams=streams, rule=other)


def test_another_network_begins_without_a_memory():
    rule = ForwardGradient(Orthogonal())
    network, streams = build()
    one_step(rule, network, streams)
    remembered = rule.state
    rule.begin(network, streams)
    assert rule.state is remembered
    rule.begin(build()[0], streams)
    assert rule.state is None


@pytest.mark.parametrize("name", DIRECTIONS)
def test_replicas_train_as_each_alone(name):
    def train(runs):
        network, streams = build(runs=runs)
        options = {"streams": streams, "batch_size": 4, "epochs": 2}
        rule = ForwardGradient(DIRECTIONS[name](), 2)
        history = fit(network, CrossEntropy(), SGD(0.05, 0.5), (X, LABELS), rule=rule, **options)
        return history, [parameter.value for parameter in network.parameters()]

    history, values = train([0, 1])
    for r in range(2):
        alone, own = train([r])
        for curve in history.curves:
            np.testing.assert_array_equal(history[curve][:, r], alone[curve][:, 0])
        for stacked, one in zip(values, own, strict=True):
            np.testing.assert_array_equal(stacked[r], one[0])


@pytest.mark.parametrize("strategy", [Rademacher(), Activity(), Anchor(5)], ids=str)
def test_it_learns(strategy):
    network, streams = plain(3), Streams(0, range(3))
    x = np.random.default_rng(1).normal(size=(120, 6))
    data = x, (x[:, 0] + x[:, 1] > 0).astype(int)
    options = {"streams": streams, "batch_size": 20, "epochs": 12}
    history = fit(
        network, CrossEntropy(), SGD(0.1), data, rule=ForwardGradient(strategy, 4), **options
    )
    assert (history["train_loss"][-1] < 0.7 * history["train_loss"][0]).all()


def test_masks_and_statistics_are_those_of_the_step():
    """A training forward pass moves the running averages once, whatever the number of
    directions."""
    (network, streams), (other, _) = build(), build()
    one_step(ForwardGradient(num_dir=6), network, streams)
    other.forward(BATCH[0], Step(training=True))
    np.testing.assert_array_equal(network.layers[1].mean, other.layers[1].mean)
    # One batch for all directions.
    assert next(iter(epoch_batches(streams, 1, 24, 4, np))).shape == (1, 4)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ForwardGradient(num_dir=0), "at least one direction, got num_dir = 0"),
        (lambda: ForwardGradient(at_once=0), "got num_dir = 1 and at_once = 0"),
        (lambda: ForwardGradient(clip=0.0), "a clip > 0 for the derivatives, or None, got 0.0"),
        (
            lambda: ForwardGradient(clip=float("nan")),
            "a clip > 0 for the derivatives, or None, got nan",
        ),
        (
            lambda: ForwardGradient()(plain(), CrossEntropy(), *BATCH, Step()),
            r"call begin\(network, streams\) first",
        ),
    ],
)
def test_bad_input_gets_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    "layers",
    [[Dense(6, 5), FDFA(3, 5), Dense(5, 3)], [Dense(6, 5), Dense(5, 3, feedback=KolenPollack())]],
)
def test_a_network_with_feedback_that_is_learned_is_refused(layers):
    network, streams = Chain(*layers), Streams()
    network.initialise(streams)
    with pytest.raises(
        ValueError, match="expected a network without feedback that is learned, got one"
    ):
        ForwardGradient().begin(network, streams)


@pytest.mark.parametrize(
    "layers",
    [[Dense(6, 5), DFA(3, 5), Dense(5, 3)], [Dense(6, 5), Dense(5, 3, feedback=RandomFeedback())]],
)
def test_feedback_that_is_fixed_makes_no_difference(layers):
    network, plain_one, streams = Chain(*layers), Chain(Dense(6, 5), Dense(5, 3)), Streams()
    for each in (network, plain_one):
        each.initialise(streams)
        for own, other in zip(each.parameters(), network.parameters(), strict=True):
            own.value[...] = other.value
        one_step(ForwardGradient(num_dir=3), each, streams)
    for own, other in zip(plain_one.parameters(), network.parameters(), strict=True):
        np.testing.assert_array_equal(own.grad, other.grad)


@pytest.mark.parametrize("name", ["anchor", "aligned", "orthogonal"])
def test_a_network_that_is_initialised_anew_begins_without_a_memory(name):
    rule, network = ForwardGradient(DIRECTIONS[name](), num_dir=2), plain()
    for runs in ([0, 1], [0, 1, 2], [3, 4, 5]):
        fresh = ForwardGradient(DIRECTIONS[name](), num_dir=2)
        estimates = []
        for each in (rule, fresh):
            network.initialise(Streams(0, runs))
            one_step(each, network, Streams(0, runs))
            estimates.append([parameter.grad for parameter in network.parameters()])
        for got, want in zip(*estimates, strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_network_without_room_is_refused_before_a_step():
    network = plain()
    network.initialise(Streams())
    with pytest.raises(
        ValueError, match=r"expected at most n = \d+ orthonormal directions, got num_dir = 1000"
    ):
        ForwardGradient(DIRECTIONS["frame"](), num_dir=1000).begin(network, Streams())


@pytest.mark.parametrize("directions", ["gaussian", DIRECTIONS["gaussian"]])
def test_directions_that_are_none_are_refused(directions):
    with pytest.raises(TypeError, match="expected directions among gaussian, rademacher, "):
        ForwardGradient(directions)
