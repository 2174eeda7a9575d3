"""Configurations of `binary`: their sets and names, storages, optimisers, networks and bytes."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from aopnp import SGD, Adam, Dense, Streams
from aopnp.estimators.step import Step
from aopnp.nn import BatchNorm, BinaryDense, Layer, Sign
from aopnp.nn.soft_weights import FloatLatent, SoftWeight
from aopnp.nn.soft_weights.levels import Levels
from aopnp.optim import Bop, SoftWeightUpdate
from aopnp.training import backprop
from aopnp.training.rules import ForwardGradient
from experiments.binary.config import SETUPS, BinaryConfig, default
from experiments.binary.flips import CountFlips
from experiments.binary.memory import kept
from experiments.binary.networks import Parts, bcnn, bvgg16, mlp
from experiments.binary.problems import BINARY
from experiments.binary.sets import ROWS, SETS, made
from experiments.binary.soft import STORAGES, RealOnly
from experiments.config import UsageError
from experiments.training import load
from tests.experiments.deep import pictures
from tests.experiments.forward import made_up

OTHER: dict[str, Any] = {
    "lr": 0.5, "init": "glorot", "num_dir": 2, "clip": None, "width": 3, "batch_size": 7, "epochs": 9, "runs": 4,
    "seed": 1, "dtype": "float64", "device": "gpu",
}  # fmt: skip


@pytest.mark.parametrize("experiment", SETUPS)
def test_no_two_configurations_of_a_set_share_a_file(experiment: str) -> None:
    configs = made(experiment, SETS[experiment], {})
    assert len({config.stem() for config in configs}) == len(configs) == len(set(configs))
    for config in configs:
        config.check()


def test_every_field_off_its_default_shows_in_the_name() -> None:
    config = default("binary", "5-bit", "adam", "gaussian")
    assert config.stem() == "5-bit-adam-gaussian"
    named = {field.name for field in fields(BinaryConfig)} - {
        "experiment",
        "soft",
        "update",
        "strategy",
    }
    assert named == set(OTHER)
    stems = [replace(config, **{name: value}).stem() for name, value in OTHER.items()]
    assert len(set(stems)) == len(stems)
    assert default("binary", "5-bit").stem() == "5-bit-sgd"


def test_step_sizes_are_those_of_the_specification() -> None:
    assert (default("binary", "float", "sgd").lr, default("binary", "float", "adam").lr) == (
        0.1,
        5e-3,
    )
    assert default("binary", "float", "sgd", "gaussian").num_dir == 10


def test_the_sets_hold_what_is_compared() -> None:
    bcnn_set = [config.stem() for config in made("binary", SETS["binary"], {})]
    ways = [
        "float",
        "8-bit",
        "7-bit",
        "6-bit",
        "5-bit",
        "5-bit-nearest",
        "memoryless",
        "naive",
        "bop",
        "frozen",
    ]
    assert bcnn_set == [f"{way}-sgd" for way in ways] + ["float-adam", "5-bit-adam"]
    mlp_set = [config.stem() for config in made("binary-mlp", SETS["binary-mlp"], {})]
    assert mlp_set[:4] == ["float-sgd", "5-bit-sgd", "float-sgd-initglorot", "5-bit-sgd-initglorot"]


def test_rows_one_to_five_are_named() -> None:
    rows = {number: [c.stem() for c in made(*row, {})] for number, row in ROWS.items()}
    assert rows[1] == ["float-sgd", "naive-sgd", "bop-sgd"]
    assert rows[2] == ["float-sgd", "5-bit-sgd"]
    assert rows[3] == ["float-adam", "memoryless-adam", "naive-adam"]
    assert ROWS[3][0] == "binary-bvgg16"
    assert rows[4] == [f"{way}-sgd-lr0.01" for way in ("float", "5-bit", "6-bit", "7-bit", "8-bit")]
    strategies = (
        "gaussian",
        "rademacher",
        "sign",
        "shared",
        "row_space",
        "activity",
        "anchor",
        "aligned",
    )
    assert rows[5] == [f"float-sgd-{strategy}-width4-epochs1" for strategy in strategies]
    assert {config.num_dir for config in made(*ROWS[5], {})} == {10}


def test_storages_and_optimisers_are_those_that_are_named() -> None:
    assert STORAGES["float"] == FloatLatent()
    for bits in (4, 5, 6, 7, 8):
        assert STORAGES[f"{bits}-bit"] == Levels(bits)
    assert STORAGES["5-bit-nearest"] == Levels(5, "nearest")
    assert (STORAGES["memoryless"], STORAGES["naive"]) == (Levels(1), Levels(1, "nearest"))
    kinds = {
        "float": SoftWeightUpdate,
        "naive": SoftWeightUpdate,
        "memoryless": SoftWeightUpdate,
        "bop": Bop,
        "frozen": RealOnly,
    }
    for soft, kind in kinds.items():
        optimiser = default("binary", soft).optimiser(1)
        assert type(optimiser) is kind
        np.testing.assert_array_equal(optimiser.lr(0), [0.1])
    assert type(default("binary", "float", "adam").optimiser(1).inner) is Adam  # type: ignore[attr-defined]
    assert type(default("binary", "bop").optimiser(1).inner) is SGD  # type: ignore[attr-defined]


def test_the_rule_counts_flips_around_what_is_named() -> None:
    rule = default("binary", "float").learning_rule(1)
    assert isinstance(rule, CountFlips)
    assert rule.inner is backprop
    forward = default("binary", "float", "sgd", "row_space").learning_rule(1)
    assert isinstance(forward, CountFlips)
    assert isinstance(forward.inner, ForwardGradient)
    assert forward.inner.num_dir == 10


def binary_weights(network: Layer) -> int:
    return sum(
        layer.inputs * layer.outputs for layer in network.walk() if isinstance(layer, BinaryDense)
    )


def test_sizes_are_as_specified() -> None:
    assert binary_weights(bcnn(Parts(64))) == pytest.approx(5.08e6, rel=1e-3)
    assert binary_weights(bvgg16(Parts(64))) == pytest.approx(12.35e6, rel=1e-3)
    assert binary_weights(mlp(Parts(5))) == 784 * 5 + 5 * 5 + 5 * 10


@pytest.mark.parametrize(("make", "inputs"), [(bcnn, 784), (bvgg16, 3072), (mlp, 784)])
def test_all_weights_are_binary_and_every_layer_is_normalised(make: Any, inputs: int) -> None:
    network: Layer = make(Parts(2, Levels(3)))
    network.initialise(Streams(), np.float32)
    layers = [layer for layer in network.walk() if isinstance(layer, Dense | BatchNorm | Sign)]
    kinds = ["".join(type(layer).__name__) for layer in layers]
    triples = [kinds[i : i + 3] for i in range(0, len(kinds), 3)]
    assert all(
        first in ("BinaryConv2d", "BinaryDense") and norm == "BatchNorm"
        for first, norm, *_ in triples
    )
    assert [rest for *_, rest in triples[:-1]] == ["Sign"] * (len(triples) - 1)
    assert len(triples[-1]) == 2  # the outputs are real
    soft = [p for p in network.parameters() if isinstance(p, SoftWeight)]
    assert sum(p.shape[1] * p.shape[2] for p in soft) == binary_weights(network)
    x = np.random.default_rng(0).random((1, 3, inputs)).astype(np.float32)
    assert network.forward(x, Step(training=True)).shape == (1, 3, 10)


def test_initial_soft_weights_are_uniform_or_glorots() -> None:
    widest = {}
    for init in ("uniform", "glorot"):
        config = replace(default("binary-mlp", "float"), width=8, init=init)
        network = mlp(config.estimators([config]))
        network.initialise(Streams(), np.float64)
        widest[init] = abs(network.parameters()[0].value).max()
    assert widest["uniform"] == pytest.approx(1, abs=0.01)
    assert widest["glorot"] == pytest.approx((6 / 792) ** 0.5, rel=0.01)


def test_bytes_are_six_times_fewer_with_sgd_and_hardly_fewer_with_adam() -> None:
    """Of 8 x multiples of weights, so that no byte is filled up."""

    def smaller(soft: str, update: str) -> float:
        floating, own = (
            kept(replace(default("binary-mlp", way, update), width=16))["binary"]
            for way in ("float", soft)
        )
        return floating.persistent / own.persistent

    assert smaller("5-bit", "sgd") == pytest.approx(32 / 5, rel=1e-12)
    assert smaller("5-bit", "adam") == pytest.approx(96 / 69, rel=1e-12)
    assert smaller("8-bit", "sgd") == pytest.approx(4, rel=1e-12)
    assert smaller("naive", "sgd") == smaller("frozen", "sgd") == pytest.approx(32, rel=1e-12)
    assert smaller("bop", "sgd") == pytest.approx(32 / 33, rel=1e-12)  # its running mean is real


def test_pixels_are_in_minus_1_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    (x, y), *_ = load("binary", None, 50, "float32")
    images = pictures(0, 1, 28)
    np.testing.assert_allclose(x.decoded(), images.x_train / 127.5 - 1, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(y, images.y_train)
    assert set(BINARY) == set(SETUPS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 0}, "expected --width of at least 1, got 0"),
        ({"batch_size": 1}, "expected --batch-size of at least 2, got 1"),
        ({"lr": 0.0}, "expected finite step sizes > 0, got lr = 0.0"),
        ({"num_dir": 0}, "expected at least one direction, got num_dir = 0"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(default("binary", "float", "sgd", "gaussian"), **changes).check()
    assert str(caught.value).startswith(sentence)
