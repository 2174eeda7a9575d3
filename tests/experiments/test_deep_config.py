"""What a configuration of a deep experiment is called, what it estimates, and what is refused."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aopnp import AOP, Exact, NoMemory, RowMemory
from aopnp.estimators import Watched
from aopnp.estimators.policies import POLICIES
from aopnp.estimators.term_counts import Ratio
from aopnp.optim import SGD, Adam
from experiments.config import UsageError
from experiments.deep.config import DEFAULTS, Deep, estimated, every_policy, exact, in_order, usual
from experiments.deep.problems import DEEP, OPTIMISERS
from experiments.results import result_path, run_path

SMALL = ("mlp", "cnn", "cifar")


def changed(experiment: str, policy: str = "topk", memory: str = "none", **changes: Any) -> Deep:
    return estimated(replace(DEFAULTS[experiment], **changes), policy, memory)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (changed("mlp"), "mlp/topk-none-ratio0.5"),
        (changed("mlp", memory="row", ratio=1.0), "mlp/topk-row-ratio1"),
        (
            changed("mlp", minimal_k=1, where="weight,input"),
            "mlp/topk-none-ratio0.5-minimal-k1-whereweight,input",
        ),
        (changed("mlp", watch=True, epochs=2), "mlp/topk-none-ratio0.5-watch-epochs2"),
        (
            changed("cnn", "wta", runs=1, lr=0.05, seed=7),
            "cnn/wta-none-ratio0.5-runs1-lr0.05-seed7",
        ),
        (
            changed("cifar", dtype="float64", device="gpu"),
            "cifar/topk-none-ratio0.5-dtypefloat64-devicegpu",
        ),
        (changed("cifar-full"), "cifar-full/topk-none-ratio0.5"),
        (exact(DEFAULTS["cnn"]), "cnn/exact"),
        (
            exact(replace(DEFAULTS["mlp"], ratio=0.1, watch=True, batch_size=64)),
            "mlp/exact-batch-size64",
        ),
    ],
)
def test_a_file_is_named_by_scheme_and_what_is_off_the_defaults(config: Deep, name: str) -> None:
    assert result_path(Path("out"), config).as_posix() == f"out/{name}.json"
    assert (
        run_path(Path("out"), config, 1).as_posix()
        == f"out/{name.replace('/', '/.runs/', 1)}-run1.json"
    )
    assert config.stem() == config.scheme() + config.settings()


CHANGES: dict[str, Any] = {
    "policy": "randk", "memory": "row", "ratio": 0.25, "minimal_k": 3, "where": "weight,forward", "watch": True,
    "batch_size": 7, "epochs": 7, "runs": 7, "lr": 7.0, "seed": 7, "dtype": "float64", "device": "gpu",
}  # fmt: skip


def test_whatever_differs_shows_in_the_name() -> None:
    assert [*CHANGES] == [field.name for field in fields(Deep)][1:]
    default = DEFAULTS["mlp"]
    names = {replace(default, **{name: value}).stem() for name, value in CHANGES.items()}
    assert len(names | {default.stem()}) == len(CHANGES) + 1
    together = replace(default, **CHANGES).stem()
    assert together == (
        "randk-row-ratio0.25-minimal-k3-whereweight,forward-watch-batch-size7-epochs7-runs7-lr7-seed7-dtypefloat64"
        "-devicegpu"
    )


def test_every_experiment_has_defaults_a_problem_and_an_optimiser() -> None:
    assert (
        set(DEFAULTS)
        == set(DEEP)
        == set(OPTIMISERS)
        == {*SMALL, *(f"{name}-full" for name in SMALL)}
    )
    for experiment, default in DEFAULTS.items():
        assert (default.experiment, default.dataset) == (experiment, experiment)
        default.check()


def test_published_values_are_the_full_defaults() -> None:
    """Adelman et al., section 5: batch, epochs, step size."""
    values = {
        name: (c.batch_size, c.epochs, c.lr)
        for name, c in DEFAULTS.items()
        if name.endswith("-full")
    }
    assert values == {
        "mlp-full": (50, 20, 1e-3),
        "cnn-full": (64, 20, 0.01),
        "cifar-full": (256, 200, 0.15),
    }


def test_optimisers_are_the_published_ones() -> None:
    assert isinstance(DEFAULTS["mlp"].optimiser(1), Adam)
    half, wide = DEFAULTS["cnn-full"].optimiser(1), DEFAULTS["cifar-full"].optimiser(200 * 195)
    assert isinstance(half, SGD)
    assert isinstance(wide, SGD)
    assert (half.momentum, half.weight_decay, half.lr(10**6)[0]) == (0.5, 0.0, 0.01)
    shrinking = DEFAULTS["cnn"].optimiser(100)  # two epochs in place of twenty
    assert [shrinking.lr(step)[0] for step in (0, 50, 100)] == pytest.approx([0.1, 0.05, 0.0])
    assert (wide.momentum, wide.weight_decay) == (0.9, 5e-4)
    factors = [
        wide.lr(epoch * 195 + shift)[0] / 0.15 for epoch in (60, 120, 160) for shift in (-1, 0)
    ]
    np.testing.assert_allclose(factors, [1, 0.2, 0.2, 0.04, 0.04, 0.008], rtol=1e-12)
    for steps in range(1, 12):  # a training of a few steps only
        DEFAULTS["cifar"].optimiser(steps)


def test_only_the_products_that_where_names_are_estimated() -> None:
    kept = AOP(POLICIES["topk"], Ratio(0.25, 10))
    for where in ("weight", "input", "forward", "input,forward", "weight,input,forward"):
        config = changed("mlp", where=where, ratio=0.25)
        products = config.estimators([config])
        answers = {
            "weight": products.estimator,
            "input": products.input_gradient,
            "forward": products.forward,
        }
        assert answers == {name: kept if name in where.split(",") else Exact() for name in answers}
    assert set(exact(DEFAULTS["mlp"]).estimators([])) == {Exact()}


def test_the_weight_gradient_alone_remembers_and_is_watched() -> None:
    config = changed("mlp", memory="row", where="weight,input,forward", watch=True)
    weight, forward, input_gradient = config.estimators([config])
    assert weight == Watched(AOP(POLICIES["topk"], Ratio(0.5, 10), RowMemory()))
    assert forward == input_gradient == AOP(POLICIES["topk"], Ratio(0.5, 10), NoMemory())


@pytest.mark.parametrize("experiment", SMALL)
def test_the_usual_configurations(experiment: str) -> None:
    forward = ["topk-none-ratio0.5-whereforward"] if experiment == "cnn" else []
    stems = [
        "exact",
        "bernoulli-none-ratio0.5",
        "topk-none-ratio0.5",
        "topk-row-ratio0.5",
        *forward,
    ]
    assert [config.stem() for config in usual(DEFAULTS[experiment])] == stems
    everything = every_policy(DEFAULTS[experiment])
    assert [config.stem() for config in everything[: len(stems)]] == stems
    assert {config.policy for config in everything} == {"exact", *POLICIES}
    assert len(everything) == len({c.stem() for c in everything}) == len(stems) + len(POLICIES) - 2
    for config in everything:
        config.check()


def test_no_memory_is_trained_where_the_weight_gradient_is_exact() -> None:
    configs = usual(replace(DEFAULTS["mlp"], where="input"))
    assert [config.scheme() for config in configs] == [
        "exact", "bernoulli-none-ratio0.5-whereinput", "topk-none-ratio0.5-whereinput",
    ]  # fmt: skip


def test_watching_leaves_exact_products_alone() -> None:
    configs = usual(replace(DEFAULTS["cnn"], watch=True))
    assert [config.watch for config in configs] == [False, True, True, True, False]
    for config in configs:
        config.check()


def test_products_are_named_once_and_in_order() -> None:
    assert in_order("forward,weight,forward") == "weight,forward"
    assert in_order("input") == "input"
    for wrong in ("", "weights", "weight input", "weight,", "Input"):
        with pytest.raises(
            UsageError, match="expected products among weight, input, forward in --where, got '"
        ):
            in_order(wrong)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ratio": 0.0}, "expected --ratio above 0 and up to 1, which keeps everything, got 0.0"),
        ({"ratio": 1.5}, "expected --ratio above 0 and up to 1, which keeps everything, got 1.5"),
        (
            {"ratio": float("nan")},
            "expected --ratio above 0 and up to 1, which keeps everything, got nan",
        ),
        ({"minimal_k": 0}, "expected --minimal-k of at least 1, got 0"),
        ({"runs": 0}, "expected --runs of at least 1, got 0"),
        ({"epochs": 0}, "expected --epochs of at least 1, got 0"),
        ({"batch_size": 0}, "expected --batch-size of at least 1, got 0"),
        ({"seed": -1}, "expected --seed of at least 0, got -1"),
        ({"lr": 0.0}, "expected finite step sizes > 0, got lr = 0.0"),
        (
            {"memory": "row", "where": "input"},
            "expected weight in --where input with --memory row, got none; add it ",
        ),
        (
            {"watch": True, "where": "forward"},
            "expected weight in --where forward with --watch, got none; add it or ",
        ),
        ({"policy": "bernoulli", "memory": "row"}, "expected no memory beside "),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(DEFAULTS["mlp"], **changes).check()
    assert str(caught.value).startswith(sentence)


def test_a_residual_memory_does_not_fit_a_convolution_that_samples_examples() -> None:
    changed("mlp", memory="residual").check()
    with pytest.raises(UsageError, match="an example is the unit"):
        changed("cnn", memory="residual").check()


def test_no_two_runs_are_stacked() -> None:
    configs = usual(DEFAULTS["cnn"])
    assert len({config.stack(run) for config in configs for run in range(3)}) == 3 * len(configs)
