"""fit: pairing, stacking, divergence, what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aopnp import (
    AOP,
    SGD,
    Chain,
    CrossEntropy,
    Dense,
    Exact,
    MeanSquaredError,
    NoMemory,
    QueueMemory,
    ReLU,
    ResidualMemory,
    RowMemory,
    Softmax,
    Streams,
    evaluate,
    fit,
    randk,
    topk,
    weightedk,
)
from aopnp.data.batches import epoch_batches
from aopnp.estimators import Stacked, Step, Watched, side_by_side, stack
from aopnp.estimators.ledger import SPENT
from aopnp.estimators.outer_products import dense
from aopnp.nn import BatchNorm
from aopnp.nn.layer import Layer
from aopnp.optim import Adam, StepDecay
from aopnp.training import epoch_noise
from aopnp.training.checkpoint import load, save


def problem(seed=0, n=70, N=6, P=4, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, N)).astype(dtype), rng.integers(0, P, n)


def train(
    estimators, runs, *, lr=0.5, momentum=0.0, dtype=np.float64, epochs=3, hidden=None, seed=0
):
    """Train a classifier; return (network, history)."""
    data = problem(dtype=dtype)
    layers = [Dense(6, 4, estimators(0)), Softmax()]
    if hidden:
        layers = [Dense(6, hidden, estimators(0)), ReLU(), Dense(hidden, 4, estimators(1))]
    network, streams = Chain(*layers), Streams(seed, runs)
    network.initialise(streams, dtype)
    optimiser = SGD(lr, momentum, schedule=StepDecay(5, 0.5))
    history = fit(
        network,
        CrossEntropy(),
        optimiser,
        data,
        streams=streams,
        batch_size=16,
        epochs=epochs,
        validation=data,
    )
    return network, history


MEMORIES = [NoMemory(), RowMemory(0.9), ResidualMemory(), QueueMemory(20)]
SIZES = ((topk, 3), (weightedk, 5), (randk, 16))
ZOO = [Exact(), *(AOP(policy, k, memory) for memory in MEMORIES for policy, k in SIZES)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("hidden", [None, 5])
def test_unlike_estimators_in_one_stack_train_as_each_alone_bit_for_bit(dtype, momentum, hidden):
    lr = 0.1 + 0.05 * np.arange(len(ZOO))
    options = {"momentum": momentum, "dtype": dtype, "hidden": hidden}
    network, together = train(lambda i: side_by_side(ZOO), [2] * len(ZOO), lr=lr, **options)
    for r, estimator in enumerate(ZOO):
        one, alone = train(lambda i, estimator=estimator: estimator, [2], lr=lr[r], **options)
        for here, there in zip(network.parameters(), one.parameters(), strict=True):
            np.testing.assert_array_equal(here.value[r], there.value[0])
        assert set(together.curves) == {
            "train_loss",
            "train_accuracy",
            "val_loss",
            "val_accuracy",
            *SPENT,
        }
        for name in together.curves:
            np.testing.assert_array_equal(together[name][:, r], alone[name][:, 0])


def test_runs_in_one_stack_train_as_each_alone_bit_for_bit():
    estimator = AOP(weightedk, 4, RowMemory())
    network, together = train(lambda i: estimator, [3, 0, 7], hidden=5)
    assert len({together["train_loss"][0, r] for r in range(3)}) == 3
    for r, run in enumerate([3, 0, 7]):
        one, alone = train(lambda i: estimator, [run], hidden=5)
        np.testing.assert_array_equal(
            network.parameters()[0].value[r], one.parameters()[0].value[0]
        )
        np.testing.assert_array_equal(together["val_loss"][:, r], alone["val_loss"][:, 0])


def test_regression_in_a_stack():
    """One input and one output, batches and epochs long enough that the order of summation would
    show."""
    x, y = np.random.default_rng(0).normal(size=(2, 700, 1))

    def curves(runs):
        network, streams = Dense(1, 1, Watched(AOP(topk, 20, RowMemory()))), Streams(0, runs)
        network.initialise(streams)
        data = (x, y)
        history = fit(
            network,
            MeanSquaredError(),
            SGD(0.1),
            data,
            streams=streams,
            batch_size=33,
            epochs=4,
            validation=data,
        )
        return history.curves

    together, alone = curves([0, 1, 2]), [curves([run]) for run in (0, 1, 2)]
    for name, curve in together.items():
        np.testing.assert_array_equal(curve, np.hstack([one[name] for one in alone]), err_msg=name)


def test_watching_changes_nothing_and_measures_the_error_of_the_estimate():
    estimator = AOP(topk, 4, RowMemory())
    plain, _ = train(lambda i: estimator, [0, 1])
    watched, history = train(lambda i: Watched(estimator), [0, 1])
    np.testing.assert_array_equal(plain.parameters()[0].value, watched.parameters()[0].value)
    assert history["gradient_error"].shape == history["running_cosine"].shape == (3, 2)
    assert (history["gradient_error"] > 0.1).all()
    assert (np.abs(history["gradient_cosine"]) <= 1).all()
    _, exact = train(lambda i: Watched(Exact()), [0])
    np.testing.assert_array_equal(exact["gradient_error"], 0)
    np.testing.assert_allclose(exact["running_cosine"], 1, rtol=1e-12)


def test_the_watcher_by_hand_and_with_several_layers():
    watched = Watched(AOP(topk, 1))
    x, g = np.array([[[3.0], [1.0]]]), np.array([[[1.0], [-2.0]]])
    state = watched.start(x, g)
    for _ in range(2):
        watched(x, g, state, np.zeros((1, 2)), Step())  # exact 3 - 2 = 1, estimate 3
    seen = watched.observations(state)
    assert {name: value[0] for name, value in seen.items()} == {
        "gradient_error": 2.0,
        "gradient_cosine": 1.0,
        "running_error": 2.0,
        "running_cosine": 1.0,
    }
    assert watched.observations(state) == {}
    _, history = train(lambda i: Watched(Exact()), [0], hidden=5)
    assert {"gradient_error/0", "gradient_error/2"} <= set(history.curves)


def test_zero_gradients_agree_and_a_zero_exact_gradient_is_infinitely_wrong():
    watched = Watched(AOP(topk, 1))
    x = np.array([[[1.0], [1.0]]] * 3)
    g = np.array([[[0.0], [0.0]], [[1.0], [-1.0]], [[1.0], [0.0]]])
    state = watched.start(x, g)
    watched(x, g, state, np.zeros((1, 2)), Step())
    seen = watched.observations(state)
    np.testing.assert_array_equal(seen["gradient_error"], [0, np.inf, 0])
    np.testing.assert_array_equal(seen["gradient_cosine"], [1, 0, 1])


def test_history_is_what_a_loop_written_by_hand_measures():
    """Losses before each step, last partial batch dropped, accuracy over the rows seen."""
    data, epochs = problem(), 2
    network, streams = Dense(6, 4), Streams(5, [1])
    network.initialise(streams)
    w, b = network.weight.value[0].copy(), network.bias.value[0].copy()
    history = fit(
        network,
        CrossEntropy(),
        SGD(0.3),
        data,
        streams=streams,
        batch_size=16,
        epochs=epochs,
        validation=data,
    )

    def probabilities(x):
        e = np.exp(x @ w + b)
        return e / e.sum(1, keepdims=True)

    for epoch in range(1, epochs + 1):
        losses, correct, seen = [], 0, []
        for (rows,) in epoch_batches(streams, epoch, 70, 16):
            x, labels = data[0][rows], data[1][rows]
            p = probabilities(x)
            losses.append(-np.log(p[np.arange(16), labels]).mean())
            correct += (p.argmax(1) == labels).sum()
            gradient = (p - np.eye(4)[labels]) / 16
            w, b = w - 0.3 * x.T @ gradient, b - 0.3 * gradient.sum(0)
            seen.extend(rows)
        assert len(losses) == 4
        assert len(set(seen)) == 64
        np.testing.assert_allclose(history["train_loss"][epoch - 1], np.mean(losses), rtol=1e-12)
        np.testing.assert_allclose(history["train_accuracy"][epoch - 1], correct / 64, rtol=1e-12)
        p = probabilities(data[0])
        np.testing.assert_allclose(
            history["val_loss"][epoch - 1], -np.log(p[np.arange(70), data[1]]).mean(), rtol=1e-12
        )
        np.testing.assert_allclose(
            history["val_accuracy"][epoch - 1], (p.argmax(1) == data[1]).mean(), rtol=1e-12
        )


def test_evaluation_in_chunks_is_one_mean():
    x, labels = problem()
    network = Dense(6, 4, AOP(topk, 2, RowMemory()))
    network.initialise(Streams())
    whole = evaluate(network, CrossEntropy(), x, labels)
    parts = evaluate(network, CrossEntropy(), x, labels, batch_size=32)
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-13)
    np.testing.assert_array_equal(parts["accuracy"], whole["accuracy"])
    assert network.weight_product.state is None  # evaluation touches no memory


class Recording(Layer):
    """Passes everything on, notes how many rows and which steps it saw, and reports a cost of its
    own."""

    def __init__(self, costs):
        self.costs, self.rows, self.steps = costs, [], []

    def forward(self, x, step=Step()):  # noqa: B008 - frozen
        (
            self.steps.append((step.epoch, step.index))
            if step.training
            else self.rows.append(x.shape[1])
        )
        return x

    def backward(self, g, step=Step(), *, needs_input=True):  # noqa: B008
        return g

    def spent(self):
        seen, self.reported = len(self.steps) - getattr(self, "reported", 0), len(self.steps)
        return {name: cost * seen for name, cost in self.costs.items()}


def test_fit_numbers_steps_over_all_epochs_evaluates_in_batches_and_adds_up_what_the_layers_spend():
    data, streams = problem(), Streams(0, [0, 1])
    first, second = (
        Recording({"flops": np.array([1.0, 2.0])}),
        Recording({"flops": np.ones(2), "own": np.ones(2)}),
    )
    network = Chain(first, Dense(6, 4), second)
    network.initialise(streams)
    options = {"streams": streams, "batch_size": 16, "validation": data, "validation_batch": 32}
    history = fit(network, CrossEntropy(), SGD(0.1), data, epochs=2, **options)
    assert (
        first.steps
        == second.steps
        == [(epoch, 4 * (epoch - 1) + t) for epoch in (1, 2) for t in range(4)]
    )
    # One row to check training data and validation data each.
    assert first.rows == [1, 1, *[32, 32, 6] * 2]
    dense_alone = Dense(6, 4)
    dense_alone.initialise(streams)
    alone = fit(
        dense_alone, CrossEntropy(), SGD(0.1), data, epochs=2, streams=streams, batch_size=16
    )
    np.testing.assert_array_equal(history["flops"] - alone["flops"], [[8, 12]] * 2)
    np.testing.assert_array_equal(history["own"], [[4, 4]] * 2)
    assert history["flops"].dtype == np.float64


OPTIMISERS = {
    "sgd": lambda lr: SGD(lr, weight_decay=0.01, schedule=StepDecay(5, 0.5)),
    "momentum": lambda lr: SGD(lr, 0.9, weight_decay=0.01),
    "nesterov": lambda lr: SGD(lr, 0.9, nesterov=True, schedule=StepDecay(5, 0.5)),
    "adam": lambda lr: Adam(lr / 10, weight_decay=0.01, schedule=StepDecay(5, 0.5)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("build", OPTIMISERS.values(), ids=OPTIMISERS)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(build, dtype, tmp_path):
    """Every memory, watched or not, running statistics and optimiser state, all through the
    file."""
    data, streams = problem(dtype=dtype), Streams(3, [2] * len(ZOO))
    options = {"streams": streams, "batch_size": 16, "epochs": 4, "validation": data}

    def start():
        zoo = side_by_side(ZOO)
        network = Chain(Dense(6, 5, Watched(zoo)), BatchNorm(5), ReLU(), Dense(5, 4, zoo))
        network.initialise(streams, dtype)
        return network, build(0.1 + 0.05 * np.arange(len(ZOO)))

    network, optimiser = start()
    whole = fit(network, CrossEntropy(), optimiser, data, **options)

    first, its_optimiser = start()
    halves = [fit(first, CrossEntropy(), its_optimiser, data, **options | {"epochs": 2})]
    save(tmp_path / "network.npz", first, its_optimiser, streams=streams, epoch=2)

    second, its_optimiser = start()
    epoch = load(tmp_path / "network.npz", second, its_optimiser, streams=streams)
    halves.append(
        fit(second, CrossEntropy(), its_optimiser, data, first_epoch=epoch + 1, **options)
    )
    for here, there in zip(second.parameters(), network.parameters(), strict=True):
        np.testing.assert_array_equal(here.value, there.value)
    assert "running_error" in whole.curves
    for name in whole.curves:
        np.testing.assert_array_equal(
            np.concatenate([half[name] for half in halves]), whole[name], err_msg=name
        )


def test_nothing_is_left_to_train_after_the_last_epoch():
    network = Dense(6, 4)
    network.initialise(Streams())
    before = network.weight.value.copy()
    options = {"streams": Streams(), "batch_size": 16, "epochs": 3}
    assert fit(network, CrossEntropy(), SGD(0.1), problem(), first_epoch=4, **options).curves == {}
    np.testing.assert_array_equal(network.weight.value, before)


@settings(max_examples=20)
@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 5))
def test_streams_are_pure_functions_of_seed_run_and_purpose(seed, epoch, steps):
    def noise(runs, estimator, epoch=epoch):
        network = Chain(Dense(2, 2, estimator), Dense(2, 2, estimator))
        return list(epoch_noise(network, Streams(seed, runs), epoch, steps, 4).values())

    row = AOP(topk, 2, RowMemory())
    first, second = noise([1, 2], row)
    assert first.shape == (steps, 2, 4)
    assert (first != second).all()
    assert (first != noise([1, 2], row, epoch + 1)[0]).all()
    np.testing.assert_array_equal(first[:, 1:], noise([2], row)[0])
    # One run: drawn once, shared.
    np.testing.assert_array_equal(first[:, 1:], noise([2, 2], row)[0])
    # the fresh rows, which come last, see the same noise whatever a queue holds before them
    np.testing.assert_array_equal(first, noise([1, 2], AOP(topk, 2, QueueMemory(3)))[0][..., 3:])


def test_an_order_is_a_permutation_and_changes_every_epoch():
    streams = Streams(0, [0, 1])
    orders = [
        np.concatenate(list(epoch_batches(streams, epoch, 12, 4)), axis=1) for epoch in (1, 2)
    ]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(12), (2, 1)))
    assert (orders[0] != orders[1]).any()
    assert (orders[0][0] != orders[0][1]).any()


def test_divergence_is_reported_where_it_happens_and_disturbs_no_other_replica():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 1))
    lr = np.array([0.1, 1e80])

    def run(lr, runs, epochs=4):
        network, streams = Dense(1, 1, AOP(topk, 2, RowMemory())), Streams(0, runs)
        network.initialise(streams)
        history = fit(
            network,
            MeanSquaredError(),
            SGD(lr),
            (x, y),
            streams=streams,
            batch_size=8,
            epochs=epochs,
            validation=(x, y),
        )
        return network, history

    network, history = run(lr, [0, 0])
    assert set(history.diverged) == {1}
    epoch, step = history.diverged[1]
    # by hand: the first step whose loss is not finite
    network1, streams = Dense(1, 1, AOP(topk, 2, RowMemory())), Streams(0, [0])
    network1.initialise(streams)
    steps, losses = 0, []
    for e in range(1, epoch + 1):
        noise = epoch_noise(network1, streams, e, 5, 8)[network1.weight_product]
        for t, rows in enumerate(epoch_batches(streams, e, 40, 8)):
            with np.errstate(all="ignore"):
                loss = MeanSquaredError()
                losses.append(loss.forward(network1.forward(x[rows]), y[rows])[0])
                network1.backward(
                    loss.backward(), Step(steps, np.array([1e80]), {network1: noise[t]})
                )
                network1.weight.value -= 1e80 * dense(network1.weight.grad)
                network1.bias.value -= 1e80 * network1.bias.grad
            steps += 1
    assert np.flatnonzero(~np.isfinite(losses))[0] == (epoch - 1) * 5 + step - 1
    alone, quiet = run(0.1, [0])
    np.testing.assert_array_equal(network.weight.value[0], alone.weight.value[0])
    np.testing.assert_array_equal(history["val_loss"][:, 0], quiet["val_loss"][:, 0])
    assert len(run(1e80, [0])[1]["train_loss"]) == epoch  # all have diverged: training ends


def test_weights_that_overflow_in_the_very_last_step_are_noticed():
    x, y = np.full((4, 1), 1e200), np.full((4, 1), 1e150)
    network, streams = Dense(1, 1), Streams()
    network.initialise(streams)
    network.weight.value[...], network.bias.value[...] = 0, 0
    history = fit(
        network, MeanSquaredError(), SGD(1e10), (x, y), streams=streams, batch_size=4, epochs=1
    )
    assert np.isfinite(history["train_loss"]).all()
    assert history.diverged[0] == (1, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"batch_size": 71}, "expected a batch size of at most the 70 samples, got 71"),
        ({"batch_size": 0}, "expected batch size and epochs of at least 1, got 0 and 1"),
        ({"first_epoch": 0}, "expected the first epoch from 1 to 2, one past the last, got 0"),
        ({"first_epoch": 3}, "expected the first epoch from 1 to 2, one past the last, got 3"),
        ({"validation_batch": 0}, "expected a validation batch of at least 1 row, got 0"),
        ({"epochs": 0}, "expected batch size and epochs of at least 1, got 16 and 0"),
        ({"data": (np.empty((0, 6)), np.empty(0, int))}, "at least one, got 0 and 0"),
        (
            {"data": (problem()[0], problem()[1][:-1])},
            "as many samples as targets and at least one, got 70 and 69",
        ),
        (
            {"data": (np.full((70, 6), np.nan), problem()[1])},
            "expected finite inputs, got 420 NaN or infinite values",
        ),
        (
            {"data": (problem()[0], problem()[1] + 1)},
            r"expected labels 0\.\.3, got 1\.\.4; the network has 4 outputs",
        ),
        ({"data": (problem()[0], problem()[1] - 1)}, r"expected labels 0\.\.3, got -1\.\.2"),
        ({"data": (problem()[0], problem()[1] + 0.5)}, "expected integer class labels"),
        ({"validation": (np.full((70, 6), np.inf), problem()[1])}, "expected finite inputs"),
        ({"streams": Streams(0, [0, 1])}, "expected a network of R = 2 replicas, got 1"),
        (
            {"loss": MeanSquaredError()},
            r"expected finite floating-point targets \[n, 4\], got int64 \[70\]",
        ),
    ],
)
def test_fit_refuses_with_a_sentence_and_trains_nothing(change, sentence):
    network = Dense(6, 4)
    network.initialise(Streams())
    before = network.weight.value.copy()
    arguments = {
        "data": problem(),
        "loss": CrossEntropy(),
        "streams": Streams(),
        "batch_size": 16,
        "epochs": 1,
    } | change
    data, loss = arguments.pop("data"), arguments.pop("loss")
    with pytest.raises(ValueError, match=sentence):
        fit(network, loss, SGD(0.1), data, **arguments)
    np.testing.assert_array_equal(network.weight.value, before)


def test_nan_targets_are_refused():
    network = Dense(6, 1)
    network.initialise(Streams())
    with pytest.raises(ValueError, match="with NaN or infinity"):
        fit(
            network,
            MeanSquaredError(),
            SGD(0.1),
            (problem()[0], np.full((70, 1), np.nan)),
            streams=Streams(),
            batch_size=16,
            epochs=1,
        )


def test_stack_makes_knobs_of_what_differs_and_refuses_what_is_unlike():
    both = stack([AOP(topk, 8, RowMemory(0.5)), AOP(weightedk, 8, RowMemory(1.0))])
    assert both.k == 8
    np.testing.assert_array_equal(both.policy.alpha, [1, 2])
    np.testing.assert_array_equal(both.memory.decay, [0.5, 1.0])
    for unlike in (AOP(topk, 8), AOP(topk, 8, QueueMemory(3)), Exact()):
        with pytest.raises(ValueError, match="expected estimators of one kind"):
            stack([AOP(topk, 8, QueueMemory(4)), unlike])
    mixed = side_by_side([Exact(), AOP(topk, 2), AOP(topk, 3), Exact()])
    assert [where for where, _ in mixed.parts] == [slice(0, 1), slice(1, 3), slice(3, 4)]
    for parts in (
        [(slice(1, 2), Exact())],
        [(slice(0, 2), Exact()), (slice(1, 3), Exact())],
        [(slice(0, 0), Exact())],
    ):
        with pytest.raises(ValueError, match="slices that follow each other from 0 to R"):
            Stacked(parts)
    with pytest.raises(ValueError, match=r"expected a stack of R = 2 replicas, got slices up to 1"):
        Stacked([(slice(0, 1), Exact())]).start(np.ones((1, 2, 1)), np.ones((2, 2, 1)))


def test_wrong_streams_get_a_sentence():
    for arguments in ((-1, [0]), (0, []), (0, [-1])):
        with pytest.raises(ValueError, match="expected seed >= 0 and at least one run >= 0"):
            Streams(*arguments)
