"""What a configuration is called on disk: its own name, with all that is off the defaults in the order of --help."""

import argparse
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config import DEFAULTS, Config, configuration, seven
from experiments.options import add_configuration
from experiments.paper import configurations
from experiments.results import result_path, run_path
from tests.experiments.small import small

QUEUE: dict[str, Any] = {"memory": "queue"}


@pytest.mark.parametrize(
    ("dataset", "changes", "name"),
    [
        ("energy", {}, "energy/topk-row-k9"),
        ("energy", {"runs": 20, "lr": 0.05, "seed": 7}, "energy/topk-row-k9-runs20-lr0.05-seed7"),
        ("energy", {"policy": "exact"}, "energy/exact"),
        ("energy", {"policy": "exact", "k": 18, "memory": "row"}, "energy/exact"),
        (
            "energy",
            {"policy": "exact", "lr": 1e-5, "dtype": "float64"},
            "energy/exact-lr1e-05-dtypefloat64",
        ),
        ("energy", {"policy": "randk", "memory": "none", "k": 3}, "energy/randk-none-k3"),
        ("energy", QUEUE, "energy/topk-queue-k9"),
        ("energy", QUEUE | {"capacity": 144}, "energy/topk-queue-k9"),
        ("energy", QUEUE | {"capacity": 64}, "energy/topk-queue-k9-capacity64"),
        ("energy", QUEUE | {"batch_size": 72}, "energy/topk-queue-k9-batch-size72"),
        (
            "energy",
            QUEUE | {"batch_size": 72, "capacity": 144},
            "energy/topk-queue-k9-capacity144-batch-size72",
        ),
        ("energy", {"lr": 1.0, "decay": 0.0}, "energy/topk-row-k9-lr1-decay0"),
        ("mnist", {}, "mnist/topk-row-k8"),
        (
            "fashion_mnist",
            {"memory": "residual", "device": "gpu"},
            "fashion_mnist/topk-residual-k8-devicegpu",
        ),
        ("kmnist", {"momentum": 0.9, "nesterov": True}, "kmnist/topk-row-k8-momentum0.9-nesterov"),
        ("digits", {"epochs": 2}, "digits/topk-row-k8-epochs2"),
    ],
)
def test_a_file_is_named_by_what_is_off_the_defaults(
    dataset: str, changes: dict[str, Any], name: str
) -> None:
    config = configuration(dataset, **changes)
    path = result_path(Path("out"), config)
    assert path.as_posix() == f"out/{name}.json"


def test_the_suffixes_stand_in_the_order_of_the_help() -> None:
    parser = argparse.ArgumentParser()
    add_configuration(parser, "energy")
    options = [
        option[2:]
        for action in parser._actions
        for option in action.option_strings
        if option[:2] == "--"
    ]
    everything = configuration(
        "energy", "randk", "queue", capacity=5, k=4, batch_size=6, epochs=7, runs=8, lr=9.0, decay=0.1, momentum=0.2,
        nesterov=True, seed=3, dtype="float64", device="gpu",
    )  # fmt: skip
    stem = everything.stem()
    assert stem == (
        "randk-queue-k4-capacity5-batch-size6-epochs7-runs8-lr9-decay0.1-momentum0.2-nesterov-seed3"
        "-dtypefloat64-devicegpu"
    )
    suffixes = [option for option in options if option not in ("help", "policy", "memory", "k")]
    places = [stem.index(f"-{option}") for option in suffixes]
    assert places == sorted(places)
    assert [field.name.replace("_", "-") for field in fields(Config)][2:-1] == [
        o for o in options if o != "help"
    ]


POSITIVE = st.floats(1e-12, 1e12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "policy": st.sampled_from(["topk", "weightedk", "randk"]),
    "memory": st.sampled_from(["none", "row", "residual"]),
    "k": st.integers(1, 200),
    "batch_size": st.integers(1, 200),
    "epochs": st.integers(1, 200),
    "runs": st.integers(1, 200),
    "lr": POSITIVE,
    "decay": st.floats(0, 1),
    "momentum": st.floats(0, 1),
    "nesterov": st.booleans(),
    "seed": st.integers(0, 2**40),
    "dtype": st.sampled_from(["float32", "float64"]),
    "device": st.sampled_from(["cpu", "gpu"]),
}


@given(
    st.fixed_dictionaries(VALUES),
    st.sampled_from([*VALUES]).flatmap(lambda n: st.tuples(st.just(n), VALUES[n])),
)
def test_configurations_share_a_file_only_if_they_are_equal(
    first: dict[str, Any], change: tuple[str, Any]
) -> None:
    one = configuration("digits", **first)
    other = replace(one, **dict([change]))
    assert (one.stem() == other.stem()) == (one == other)


@pytest.mark.parametrize("value", [0.01, 0.3, 1.0, 123456.0, 1e-7, 1e17])
@pytest.mark.parametrize("name", ["lr", "momentum", "decay"])
def test_neighbouring_numbers_have_files_of_their_own(name: str, value: float) -> None:
    near: list[dict[str, Any]] = [
        {name: math.nextafter(value, towards)} for towards in (value, 0, math.inf)
    ]
    assert len({small(**change).stem() for change in near}) == 3


def test_the_configurations_of_the_paper_have_a_file_each() -> None:
    found = [config for dataset in ("energy", "mnist") for config in configurations(dataset)]
    names = {f"{config.dataset}/{config.stem()}" for config in found}
    schemes = [
        f"{policy}-{memory}"
        for policy in ("topk", "weightedk", "randk")
        for memory in ("none", "row")
    ]
    kept = {"energy": (18, 9, 3), "mnist": (32, 16, 8)}
    assert len(found) == 38
    assert names == {f"{dataset}/exact" for dataset in kept} | {
        f"{dataset}/{scheme}-k{k}" for dataset, ks in kept.items() for k in ks for scheme in schemes
    }
    assert {config.runs for config in found} == {10}


def test_seven_curves_share_everything_but_the_scheme() -> None:
    curves = seven("energy", 18, seed=5)
    assert [(c.policy, c.memory, c.k) for c in curves] == [
        ("exact", "none", None),
        *(
            (policy, memory, 18)
            for memory in ("none", "row")
            for policy in ("topk", "weightedk", "randk")
        ),
    ]
    assert {replace(c, policy="topk", memory="row", k=9) for c in curves} == {
        replace(DEFAULTS["energy"], seed=5)
    }


def test_a_run_waits_under_a_name_that_no_result_has() -> None:
    path = Path("out")
    assert (
        run_path(path, small(), 3).as_posix()
        == "out/digits/.runs/topk-row-k8-epochs2-runs2-run3.json"
    )
