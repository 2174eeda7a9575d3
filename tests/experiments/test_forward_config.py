"""Configurations of `forward`: their sets and names, what rule and optimiser they name, what cannot be trained."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from aopnp import SGD, Adam
from aopnp.optim import Critical, ErrorFeedback
from aopnp.training import backprop
from aopnp.training.directions import DIRECTIONS
from aopnp.training.rules import ForwardGradient
from experiments.config import UsageError
from experiments.forward.config import SETUPS, ForwardConfig, default
from experiments.forward.rules import NUMBERS
from experiments.forward.sets import ROWS, made, usual

OTHER: dict[str, Any] = {
    "num_dir": 2, "clip": None, "update": "adam", "lr": 0.5, "decay": 0.5, "width": 3, "batch_size": 7, "epochs": 9,
    "runs": 4, "seed": 1, "dtype": "float64", "device": "gpu",
}  # fmt: skip


@pytest.mark.parametrize("experiment", SETUPS)
def test_no_two_configurations_of_a_set_share_a_file(experiment: str) -> None:
    configs = usual(experiment)
    assert len({config.stem() for config in configs}) == len(configs) == len(set(configs))
    assert {config.experiment for config in configs} == {experiment}
    for config in configs:
        config.check()


def test_every_field_off_its_default_shows_in_the_name() -> None:
    config = default("forward", "gaussian")
    assert config.stem() == "gaussian"
    named = {field.name for field in fields(ForwardConfig)} - {"experiment", "strategy"}
    assert named == set(OTHER)
    stems = [replace(config, **{name: value}).stem() for name, value in OTHER.items()]
    assert len(set(stems)) == len(stems)
    assert replace(config, **OTHER).stem() == (
        "gaussian-num-dir2-clipNone-updateadam-lr0.5-decay0.5-width3-batch-size7-epochs9-runs4-seed1-dtypefloat64"
        "-devicegpu"
    )
    assert replace(config, **OTHER).settings().startswith("-width3")


def test_the_sets_are_what_they_are_said_to_be() -> None:
    assert [config.stem() for config in usual("forward")] == [
        "backprop-epochs5", "backprop-lr0.000464", "rademacher", "rademacher-clipNone", "gaussian-epochs3",
    ]  # fmt: skip
    narrow = usual("forward-narrow")
    assert {config.strategy for config in narrow} == {"backprop", *DIRECTIONS}
    assert {config.update for config in narrow} == {"sgd", "critical", "error-feedback"}
    assert {*NUMBERS} < {config.strategy for config in narrow}
    assert all(config.epochs == 2 for config in usual("forward", epochs=2))


def test_the_number_to_reach_is_trained_with_the_published_values() -> None:
    config = default("forward", "rademacher")
    assert (config.num_dir, config.clip, config.lr, config.decay) == (1, 1.0, 4.64e-4, 0.97)
    assert (config.width, config.batch_size, config.epochs) == (1024, 64, 20)
    optimiser, epoch = config.optimiser(20 * 937), 937
    assert [float(optimiser.lr(step)[0]) for step in (0, epoch - 1, epoch)] == pytest.approx(
        [4.64e-4, 4.64e-4, 4.64e-4 * 0.97]
    )


def test_rows_six_to_eight_are_named() -> None:
    rows = {number: made(*row) for number, row in ROWS.items()}

    def told(config: ForwardConfig) -> tuple[str, str, float, int | None]:
        return config.experiment, config.strategy, config.lr, config.num_dir

    assert [told(c) for c in rows[6]] == [
        ("forward-vgg16", "backprop", 1e-3, None), ("forward-vgg16", "gaussian", 1e-4, 20),
    ]  # fmt: skip
    assert [told(c) for c in rows[7]] == [
        ("forward", "gaussian", 1e-4, 1),
        ("forward", "orthogonal", 1e-4, 1),
    ]
    assert min(config.runs for config in rows[7]) > 1  # a paired difference with its limit
    assert [told(c) for c in rows[8]] == [
        ("forward-vgg16", "orthogonal", 1e-4, m) for m in (25, 50)
    ]


def test_rule_and_optimiser_are_those_that_are_named() -> None:
    assert default("forward", "backprop").learning_rule(1) is backprop
    for name, kind in DIRECTIONS.items():
        rule = replace(default("forward", name), num_dir=3, clip=None).learning_rule(1)
        assert isinstance(rule, ForwardGradient)
        assert (type(rule.directions), rule.num_dir, rule.clip) == (kind, 3, None)
    kinds = {"sgd": SGD, "adam": Adam, "critical": Critical, "error-feedback": ErrorFeedback}
    for update, of in kinds.items():
        optimiser = replace(default("forward", "gaussian"), update=update, lr=0.5).optimiser(1)
        assert type(optimiser) is of
        np.testing.assert_array_equal(optimiser.lr(0), [0.5])


def test_a_divergence_is_expected_of_unclipped_forward_gradients_only() -> None:
    diverging = [config.scheme() for config in usual("forward") if config.may_diverge()]
    assert diverging == ["rademacher-clipNone"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"decay": 0.0},
            "expected --decay above 0 and up to 1, which keeps the step size, got 0.0",
        ),
        (
            {"decay": 1.1},
            "expected --decay above 0 and up to 1, which keeps the step size, got 1.1",
        ),
        ({"width": 0}, "expected --width of at least 1, got 0"),
        ({"num_dir": -1}, "expected at least one direction, got num_dir = -1"),
        ({"clip": 0.0}, "expected a clip > 0 for the derivatives, or None, got 0.0"),
        ({"lr": -1.0}, "expected finite step sizes > 0, got lr = -1.0"),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(default("forward", "gaussian"), **changes).check()
    assert str(caught.value).startswith(sentence)
