import itertools
import json
import math
import os
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind_from_stats

from experiments.agreement import (
    EPOCHS,
    Agreement,
    compare,
    configurations,
    load_published,
    report,
    root_mean_square,
    summarise,
)

SCALES: dict[str, Callable[[float], float]] = {"energy": math.exp, "mnist": float}
CASES = [("energy", "topk-row-k18"), ("mnist", "randk-none-k8"), ("energy", "exact")]
check = partial(compare, final_limit=5.0, curve_limit=5.5)
without_limit = partial(compare, final_limit=math.inf, curve_limit=math.inf)
History = dict[str, list[list[float | None]]]


def moments(dataset: str, name: str, quantity: str) -> list[tuple[float, float]]:
    entry = load_published()["datasets"][dataset]["configurations"][name][quantity]
    return list(zip(entry["mean"], entry["sd"], strict=True))


def history(dataset: str, name: str, offset: float = 0.0, sd: float = 0.1) -> History:
    """Two runs, mean = published mean + offset and standard deviation (ddof 1) = sd on the compared scale."""
    runs: History = {}
    for quantity in ("train_loss", "val_loss"):
        curves: list[list[float | None]] = [[None] * EPOCHS[dataset][-1] for _ in range(2)]
        for epoch, (mean, _) in zip(EPOCHS[dataset], moments(dataset, name, quantity), strict=True):
            for curve, sign in zip(curves, (-1, 1), strict=True):
                curve[epoch - 1] = SCALES[dataset](mean + offset + sign * sd / math.sqrt(2))
        runs[quantity] = curves
    return runs


@pytest.mark.parametrize(("dataset", "name"), CASES)
@pytest.mark.parametrize("offset", [-0.3, 0.0, 0.02])
def test_z_is_welch_on_the_compared_scale(dataset: str, name: str, offset: float) -> None:
    rows = check(dataset, name, history(dataset, name, offset))
    assert [(row.quantity, row.epoch) for row in rows] == [
        (quantity, epoch) for quantity in ("train_loss", "val_loss") for epoch in EPOCHS[dataset]
    ]
    expected = [
        ttest_ind_from_stats(mean + offset, 0.1, 2, mean, sd, 10, equal_var=False).statistic
        for quantity in ("train_loss", "val_loss")
        for mean, sd in moments(dataset, name, quantity)
    ]
    assert [row.z for row in rows] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert [row.mean - row.published_mean for row in rows] == pytest.approx(
        [offset] * len(rows), abs=1e-12
    )


def test_the_last_published_epoch_has_the_final_limit() -> None:
    rows = check("energy", "exact", history("energy", "exact"))
    assert [row.limit for row in rows] == 2 * ([5.5] * 6 + [5.0])
    short = check("energy", "exact", history("energy", "exact"), epochs=(1, 100))
    assert [(row.epoch, row.limit) for row in short] == 2 * [(1, 5.5), (100, 5.0)]


@pytest.mark.parametrize("z", [5.0, -5.0, 4.9, 0.0])
def test_within_the_limit_agrees(z: float) -> None:
    assert row(z).agrees


@pytest.mark.parametrize("z", [5.0001, -5.0001, math.inf, -math.inf, math.nan])
def test_beyond_the_limit_or_not_finite_disagrees(z: float) -> None:
    assert not row(z).agrees
    assert math.isfinite(z) or not row(z, limit=math.inf).agrees


def row(z: float, limit: float = 5.0) -> Agreement:
    return Agreement("energy", "exact", "train_loss", 100, 2.3, 2.2, z, limit)


@pytest.mark.parametrize("dataset", ["energy", "mnist"])
@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_never_agrees(dataset: str, bad: float | None) -> None:
    damaged = history(dataset, "exact")
    damaged["val_loss"][1][EPOCHS[dataset][-1] - 1] = bad
    rows = without_limit(dataset, "exact", damaged)
    assert [row.agrees for row in rows] == [True] * (len(rows) - 1) + [False]


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_an_energy_loss_without_logarithm_never_agrees(bad: float) -> None:
    damaged = history("energy", "exact")
    damaged["train_loss"][0][0] = bad
    rows = without_limit("energy", "exact", damaged)
    assert [row.agrees for row in rows] == [False] + [True] * (len(rows) - 1)


def test_epochs_that_a_run_did_not_reach_never_agree() -> None:
    short = history("mnist", "exact")
    short["train_loss"][0] = short["train_loss"][0][:5]
    rows = without_limit("mnist", "exact", short)
    assert [row.agrees for row in rows] == [True] * 3 + [False] * 3 + [True] * 6


def test_no_spread_on_either_side_is_equal_or_infinitely_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = load_published()
    published["datasets"]["mnist"]["configurations"]["exact"] = {
        quantity: {"mean": [1.5] * 6, "sd": [0.0] * 6} for quantity in ("train_loss", "val_loss")
    }
    monkeypatch.setattr("experiments.agreement.load_published", lambda: published)
    runs: History = {"train_loss": [[1.5, 1.25]] * 4, "val_loss": [[1.5, 1.75]] * 4}
    rows = check("mnist", "exact", runs, epochs=(1, 2))
    assert [row.z for row in rows] == [0.0, -math.inf, 0.0, math.inf]
    assert [row.agrees for row in rows] == [True, False, True, False]


@pytest.mark.parametrize(
    ("dataset", "name", "runs", "epochs", "sentence"),
    [
        ("iris", "exact", 2, None, r"expected a data set among \['energy', 'mnist'\], got 'iris'"),
        ("energy", "topk-row-k9", 2, None, r"expected a configuration among .*, got 'topk-row-k9'"),
        (
            "energy",
            "exact",
            2,
            (1, 3),
            r"expected one or more epochs of .* for energy, got \[1, 3\]",
        ),
        ("energy", "exact", 2, (), r"expected one or more epochs of .* for energy, got \[\]"),
        ("energy", "exact", 1, None, r"expected 2 or more runs .*, got 1: raise --runs"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    dataset: str, name: str, runs: int, epochs: tuple[int, ...] | None, sentence: str
) -> None:
    curves = {quantity: values[:runs] for quantity, values in history("energy", "exact").items()}
    with pytest.raises(ValueError, match=sentence):
        check(dataset, name, curves, epochs=epochs)


def test_root_mean_square() -> None:
    assert root_mean_square([row(3.0), row(-4.0)]) == pytest.approx(math.sqrt(12.5))
    assert not root_mean_square([row(3.0), row(math.nan)]) <= 1.7
    with pytest.raises(ValueError, match="expected at least one comparison, got none"):
        root_mean_square([])


def test_report_shows_every_z_and_marks_what_disagrees() -> None:
    lines = report([row(1.234), row(-7.0), row(math.nan)]).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "data set configuration quantity epoch mean published z limit",
        "energy exact log train_loss 100 2.3000 2.2000 1.23 5",
        "energy exact log train_loss 100 2.3000 2.2000 -7.00 5 DISAGREES",
        "energy exact log train_loss 100 2.3000 2.2000 nan 5 DISAGREES",
    ]
    assert len({len(line.removesuffix("  DISAGREES")) for line in lines}) == 1


def test_the_committed_statistics_are_complete() -> None:
    published = load_published()
    assert "2110.09164" in published["source"]
    assert published["n"] == 10
    for dataset, quantities in (("energy", 2), ("mnist", 4)):
        summary = published["datasets"][dataset]
        assert tuple(summary["epochs"]) == EPOCHS[dataset]
        assert len(summary["configurations"]) == 13
        assert set(summary["configurations"]) == set(configurations(dataset))
        for entries in summary["configurations"].values():
            assert len(entries) == quantities
            lengths = {
                len(values) for entry in entries.values() for values in (entry["mean"], entry["sd"])
            }
            assert lengths == {len(EPOCHS[dataset])}
            assert all(sd > 0 for entry in entries.values() for sd in entry["sd"])


def made_up_records(folder: Path) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(0)
    records: dict[str, dict[str, Any]] = {}
    for dataset, epochs in EPOCHS.items():
        for file in configurations(dataset).values():
            names = ["loss", "loss_val"] + (["acc", "acc_val"] if dataset == "mnist" else [])
            records[file] = {name: rng.uniform(0.1, 0.9, (10, epochs[-1])) for name in names}
            np.savez(folder / file, **records[file])
    return records


def test_summarise_takes_means_and_sample_deviations_of_the_right_file(tmp_path: Path) -> None:
    records = made_up_records(tmp_path)
    summary = summarise(tmp_path)["datasets"]
    energy = [
        math.log(value) for value in records["energy_weightedk_nomem_K3.npz"]["loss_val"][:, 24]
    ]
    entry = summary["energy"]["configurations"]["weightedk-none-k3"]["val_loss"]
    assert entry["mean"][4] == pytest.approx(statistics.mean(energy), abs=1e-9)
    assert entry["sd"][4] == pytest.approx(statistics.stdev(energy), abs=1e-9)
    for quantity, array in (("train_loss", "loss"), ("val_accuracy", "acc_val")):
        mnist = [float(value) for value in records["mnist_randk_mem_K32.npz"][array][:, 29]]
        entry = summary["mnist"]["configurations"]["randk-row-k32"][quantity]
        assert entry["mean"][5] == pytest.approx(statistics.mean(mnist), abs=1e-9)
        assert entry["sd"][5] == pytest.approx(statistics.stdev(mnist), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"acc": np.full((10, 30), 91.0)},
            "expected train_accuracy as shares of 1 in .*, got up to 91",
        ),
        ({"loss": np.ones((9, 30))}, r"expected finite train_loss \(10, 30\) in .*, got \(9, 30\)"),
        ({"loss": np.full((10, 30), np.nan)}, "expected finite train_loss"),
        (
            None,
            "expected arrays .* in .*mnist_baseline.npz, got 'loss is not a file in the archive'",
        ),
    ],
)
def test_summarise_refuses_damage(
    tmp_path: Path, change: dict[str, Any] | None, sentence: str
) -> None:
    records = made_up_records(tmp_path)
    arrays: dict[str, Any] = {} if change is None else records["mnist_baseline.npz"] | change
    np.savez(tmp_path / "mnist_baseline.npz", **arrays)
    with pytest.raises(ValueError, match=sentence):
        summarise(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 truncated"])
def test_summarise_refuses_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    made_up_records(tmp_path)
    (tmp_path / "mnist_randk_mem_K8.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected arrays .* in .*mnist_randk_mem_K8\.npz, got "):
        summarise(tmp_path)


def test_summarise_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected the recorded runs energy_baseline\.npz in "):
        summarise(tmp_path)


@pytest.fixture
def recorded_dir() -> Path:
    if "AOPNP_RECORDED_DIR" not in os.environ:
        pytest.skip("needs the published runs: set AOPNP_RECORDED_DIR to their folder")
    return Path(os.environ["AOPNP_RECORDED_DIR"])


def flat(value: Any) -> Any:
    """Nested JSON content -> {path: leaf}, so that pytest.approx can compare its numbers."""
    if not isinstance(value, dict | list):
        return {"": value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {f"{key}/{path}": leaf for key, inner in items for path, leaf in flat(inner).items()}


def test_the_committed_statistics_are_those_of_the_recorded_runs(recorded_dir: Path) -> None:
    made, committed = flat(json.loads(json.dumps(summarise(recorded_dir)))), flat(load_published())
    # The file is rounded to nine decimals, so one unit there is as exact as it can be between platforms.
    assert made.pop("source/") == committed.pop("source/")
    assert made == pytest.approx(committed, rel=0, abs=1.01e-9)


@pytest.fixture
def recorded(recorded_dir: Path) -> dict[str, dict[str, History]]:
    runs: dict[str, dict[str, History]] = {"energy": {}, "mnist": {}}
    for dataset, histories in runs.items():
        for name, file in configurations(dataset).items():
            with np.load(recorded_dir / file) as arrays:
                histories[name] = {
                    "train_loss": arrays["loss"].tolist(),
                    "val_loss": arrays["loss_val"].tolist(),
                }
    return runs


def test_the_recorded_runs_agree_with_themselves(recorded: dict[str, dict[str, History]]) -> None:
    for dataset, histories in recorded.items():
        for name, runs in histories.items():
            assert root_mean_square(check(dataset, name, runs)) < 1e-5


def test_no_recorded_energy_configuration_passes_as_another(
    recorded: dict[str, dict[str, History]],
) -> None:
    for name, other in itertools.permutations(recorded["energy"], 2):
        rows = check("energy", other, recorded["energy"][name])
        assert not all(row.agrees for row in rows), (name, other)
