"""The networks and data of the feedback experiments: sizes, pairing, what learns and what stays."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aopnp import SGD, Chain, CrossEntropy, Dense, Streams, fit
from aopnp.data import Coded
from aopnp.nn import BatchNorm, Layer
from aopnp.nn.feedback import Hook
from experiments.feedback.config import APPROXIMATE, FeedbackConfig, default, usual
from experiments.feedback.frozen import Frozen
from experiments.feedback.networks import Parts, alexnet, mlp, two_convolutions
from experiments.training import load, train_stack
from tests.experiments.deep import TEST, pictures
from tests.experiments.feedback import made_up, small

NETWORKS = {"mnist": (mlp, 784), "cifar": (two_convolutions, 3072), "alexnet": (alexnet, 3072)}
SIZES = {
    "mnist": [785 * 700, 701 * 500, 501 * 300, 301 * 200, 201 * 10],
    "cifar": [28 * 32, 289 * 32, 6273 * 128, 129 * 10],
    "alexnet": [
        76 * 64,
        1601 * 192,
        1729 * 384,
        3457 * 256,
        2305 * 256,
        2305 * 4096,
        4097 * 4096,
        4097 * 10,
    ],
}
NORMS = {"mnist": [700, 500, 300, 200], "cifar": [32, 32], "alexnet": [64, 192, 384, 256, 256]}
FEEDBACK_SIZES = {"mnist": [700, 500, 300, 200], "cifar": [28800, 25088, 128], "alexnet": None}
"""Activations at each hook (spec 2.2: 288 000 + 250 880 + 1 280 floats of B for CIFAR-10)."""


@pytest.mark.parametrize("data", NETWORKS)
def test_the_networks_have_the_size_they_should(data: str) -> None:
    make, inputs = NETWORKS[data]
    parts = default(f"feedback-{data}", "dfa").estimators([])
    network = make(parts)
    network.initialise(Streams(), np.float32)
    layers = [*network.walk()]
    dense = [layer for layer in layers if isinstance(layer, Dense)]
    assert [layer.weight.value.size + layer.bias.value.size for layer in dense] == SIZES[data]
    assert [layer.features for layer in layers if isinstance(layer, BatchNorm)] == NORMS[data]
    activations: list[int] = []

    def noted(shape: int | tuple[int, ...]) -> Layer:
        hook = parts.hook(shape)
        activations.append(int(np.prod(shape)))
        return hook

    make(parts._replace(hook=noted))
    if FEEDBACK_SIZES[data]:
        assert activations == FEEDBACK_SIZES[data]
    # A hook refuses activations of another shape than it was told.
    assert network.forward(np.zeros((1, 2, inputs), np.float32)).shape == (1, 2, 10)


@pytest.mark.parametrize("experiment", ["feedback-mnist", "feedback-cifar"])
def test_all_rules_start_alike_and_see_the_same_batches(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps too small to move a weight: what is left of a loss are initial weights and batches."""
    made_up(monkeypatch)
    configs = [replace(config, lr=1e-30) for config in usual(experiment, batch_size=50, epochs=1)]
    members = [*((config, 0) for config in configs), (configs[0], 1)]
    *losses, other = [
        train_stack([member], None)[0]["history"]["train_loss"][0] for member in members
    ]
    assert len(set(losses)) == 1
    assert other != losses[0]


@pytest.mark.parametrize(
    "config", usual("feedback-mnist", batch_size=10, epochs=6, runs=1), ids=lambda c: c.scheme()
)
def test_every_rule_learns(config: FeedbackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    losses = train_stack([(config, 0)], None)[0]["history"]["train_loss"]
    assert losses[-1] < 0.85 * losses[0] < 2.5


@pytest.mark.parametrize("rule", ["bp", "dfa", "dkp"])
def test_they_learn_from_approximate_weight_gradients_at_less_cost(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(monkeypatch)
    config = small(rule=rule, batch_size=10, epochs=4, **{**APPROXIMATE, "ratio": 0.5})
    history = train_stack([(config, 0)], None)[0]["history"]
    assert history["train_loss"][3] < 0.85 * history["train_loss"][0] < 2.5
    assert max(np.divide(history["flops"], history["exact_flops"])) < 0.9


@pytest.mark.parametrize("rule", ["kp", "wm", "dkp", "fdfa"])
def test_runs_side_by_side_are_each_alone(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    config = small(rule=rule, batch_size=25, epochs=1)
    together = [record["history"] for record in train_stack([(config, 0), (config, 1)], None)]
    assert together == [train_stack([(config, run)], None)[0]["history"] for run in (0, 1)]


def test_a_frozen_chain_stays_but_for_the_statistics_it_has_seen() -> None:
    network = Chain(Frozen(Dense(3, 4), BatchNorm(4), Hook()), Dense(4, 2))
    streams = Streams()
    network.initialise(streams)
    lowest, norm, _, last = network.walk()
    assert isinstance(lowest, Dense)
    assert isinstance(norm, BatchNorm)
    assert isinstance(last, Dense)
    assert network.parameters() == [last.weight, last.bias]
    before = [
        parameter.value.copy()
        for parameter in (*lowest.parameters(), *norm.parameters(), last.weight)
    ]
    statistics = norm.mean.copy()
    x = np.random.default_rng(0).normal(size=(8, 3))
    fit(
        network,
        CrossEntropy(),
        SGD(0.1),
        (x, np.arange(8) % 2),
        streams=streams,
        batch_size=4,
        epochs=1,
    )
    after = [
        parameter.value for parameter in (*lowest.parameters(), *norm.parameters(), last.weight)
    ]
    same = [np.array_equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [True, True, True, True, False]
    assert not np.array_equal(norm.mean, statistics)
    assert lowest.weight.grad is None


def test_all_of_mnist_is_seen_in_minus_1_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    (x, y), (x_validation, y_validation), train_total, validation_total = load(
        "feedback-mnist", None, 50, "float64"
    )
    images = pictures(0, 1, 28)
    assert isinstance(x, Coded)
    assert isinstance(x_validation, Coded)
    np.testing.assert_allclose(x.decoded(), images.x_train / 127.5 - 1, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        x_validation.decoded(), images.x_test / 127.5 - 1, rtol=1e-12, atol=1e-12
    )
    np.testing.assert_array_equal(y, images.y_train)
    np.testing.assert_array_equal(y_validation, images.y_test)
    assert (train_total, validation_total) == (100, TEST)  # of 110 the last 10 fill no batch


def test_cifar_is_its_first_pictures_or_all_of_them_in_minus_1_to_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def whole(data_dir: str | None, *, complete: bool) -> Any:
        x = {
            n: np.broadcast_to(np.full((1, 3072), 255, np.uint8), (n, 3072)) for n in (50000, 10000)
        }
        y = {n: np.zeros(n, np.uint8) for n in (50000, 10000)}
        return pictures(0, 3, 4)._replace(
            x_train=x[50000], y_train=y[50000], x_test=x[10000], y_test=y[10000]
        )

    monkeypatch.setattr("experiments.deep.problems.load_cifar10", whole)
    for data in ("cifar", "alexnet"):
        for full, sizes in (("", [10000, 4000]), ("-full", [50000, 10000])):
            parts = load(f"feedback-{data}{full}", None, 50, "float32")[:2]
            assert [len(x) for x, _ in parts] == sizes
            for x, _ in parts:
                assert isinstance(x, Coded)
                assert (x.levels[0], x.levels[255]) == (-1, 1)


def test_parts_are_back_propagation_unless_told() -> None:
    assert type(Parts().hook(3)) is Hook
