"""The same configuration and seed train the same history, however the runs are grouped, ordered or interrupted."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aopnp import Streams, fit
from experiments.config import Config, UsageError
from experiments.problems import PROBLEMS
from experiments.results import run_path
from experiments.runner import Running, train_all, train_unit
from experiments.training import load, train_stack
from tests.experiments.small import (
    every_kind,
    expected_files,
    files,
    histories,
    learnt,
    small,
    train,
    without_times,
)

CONFIGS = every_kind()


def fitted(config: Config) -> dict[str, list[list[float]]]:
    """All runs as the replicas of one network, trained with the library alone."""
    problem, data = PROBLEMS["digits"], load("digits", None, config.batch_size, config.dtype)
    network, streams = problem.network(config.estimator()), Streams(config.seed, range(config.runs))
    network.initialise(streams, config.dtype)
    history = fit(
        network, problem.loss(), config.optimiser(), data.train, streams=streams, batch_size=config.batch_size,
        epochs=config.epochs, validation=data.validation,
    )  # fmt: skip
    return {name: history[name].T.tolist() for name in history.curves}


@pytest.fixture(scope="module")
def alone() -> list[dict[str, list[list[float]]]]:
    return [fitted(config) for config in CONFIGS]


def test_runs_of_a_configuration_differ(alone: list[dict[str, list[list[float]]]]) -> None:
    curves = [tuple(curve) for history in alone for curve in history["train_loss"]]
    assert len(set(curves)) == len(curves) == 2 * len(CONFIGS)


def test_lock_step_trains_each_as_it_trains_alone(out: Path, alone: list[Any]) -> None:
    assert histories(train(out, CONFIGS)) == alone


def test_one_by_one_and_in_another_order(out: Path, alone: list[Any]) -> None:
    assert [train(out, [config])[0]["history"] for config in CONFIGS[::-1]] == alone[::-1]


def test_parallel_processes_change_nothing(out: Path, alone: list[Any]) -> None:
    assert histories(train(out, CONFIGS, jobs=2)) == alone


def test_what_is_finished_is_kept_and_the_rest_is_the_same(
    out: Path, alone: list[Any], trained: list[tuple[str, int]]
) -> None:
    """Two configurations have run 1 already, and one of them has run 0 too."""
    finished = [(CONFIGS[2], 1), (CONFIGS[5], 1), (CONFIGS[5], 0)]
    for config, run in finished:
        train_unit([(config, run)], out, None)
    trained.clear()
    assert histories(train(out, CONFIGS)) == alone
    everything = {(config.stem(), run) for config in CONFIGS for run in (0, 1)}
    assert sorted(trained) == sorted(
        everything - {(config.stem(), run) for config, run in finished}
    )
    assert files(out) == expected_files(out, CONFIGS)


def test_more_runs_leave_the_first_ones_as_they_were(out: Path, alone: list[Any]) -> None:
    more = [replace(config, runs=3) for config in CONFIGS]
    mixed = train(out, [*CONFIGS, *more])
    assert histories(mixed[: len(CONFIGS)]) == alone
    for result, few in zip(mixed[len(CONFIGS) :], alone, strict=True):
        for name, curves in learnt(few).items():
            assert result["history"][name][:2] == curves
            assert len(result["history"][name]) == 3
            assert result["history"][name][2] not in curves


def test_another_seed_or_run_is_another_history(out: Path) -> None:
    seeds = train(out, [small(seed=seed) for seed in (0, 1)])
    curves = {tuple(curve) for result in seeds for curve in result["history"]["train_loss"]}
    assert len(curves) == 4


def test_configurations_start_alike_and_see_the_same_batches(out: Path) -> None:
    """Steps too small to move a weight: what is left of a loss are initial weights, row order and batches."""
    results = train(out, every_kind(lr=1e-30, batch_size=100))
    assert len({json.dumps(learnt(result["history"])) for result in results}) == 1
    assert len({json.dumps(curve) for curve in results[0]["history"]["train_loss"]}) == 2
    first, second = results[0]["history"]["train_loss"][0]
    assert first != second  # 37 rows are left out of each epoch, other ones each time


def test_configurations_share_the_selection_noise() -> None:
    """Policies of random rows: a memory that forgets everything selects and trains as none at all."""
    for policy in ("randk", "weightedk"):
        forgetful, none = small(policy, decay=0.0, lr=0.5), small(policy, "none", lr=0.5)
        both = [train_stack([(config, 1)], None)[0]["history"] for config in (forgetful, none)]
        assert learnt(both[0]) == learnt(both[1])


def test_all_rows_kept_is_the_exact_gradient() -> None:
    exact = train_stack([(small("exact", dtype="float64"), 0)], None)[0]["history"]
    for policy in ("topk", "weightedk", "randk"):
        kept = train_stack([(small(policy, k=64, dtype="float64"), 0)], None)[0]["history"]
        np.testing.assert_allclose(kept["train_loss"], exact["train_loss"], rtol=1e-12)
        assert kept["val_accuracy"] == exact["val_accuracy"]


def test_a_finished_result_is_not_trained_again(out: Path, trained: list[tuple[str, int]]) -> None:
    first = train(out, CONFIGS[:3])
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*.json")}
    trained.clear()
    assert train(out, CONFIGS[:3], jobs=2) == first
    assert trained == []
    assert {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*.json")
    } == before


def test_force_trains_again_what_was_asked_for_only(
    out: Path, trained: list[tuple[str, int]]
) -> None:
    first, other = train(out, [small(), small("randk")])
    train_unit([(small(runs=3), 2)], out, None)
    trained.clear()
    (again,) = train(out, [small()], force=True)
    assert trained == [(small().stem(), 0), (small().stem(), 1)]
    assert without_times(again) == without_times(first)
    assert again["seconds"] != first["seconds"]
    assert train(out, [small("randk")]) == [other]
    assert run_path(out, small(runs=3), 2).is_file()


def test_force_does_not_use_what_waits(out: Path, trained: list[tuple[str, int]]) -> None:
    train_unit([(small(), 0)], out, None)
    run_path(out, small(), 1).write_text("damaged")
    trained.clear()
    train(out, [small()], force=True)
    assert trained == [(small().stem(), 0), (small().stem(), 1)]


@pytest.mark.parametrize("wrong", [{"k": 65}, {"batch_size": 1438}, {"lr": -1.0}])
def test_force_loses_nothing_where_one_configuration_cannot_be_trained(
    out: Path, wrong: dict[str, Any]
) -> None:
    train(out, [small()])
    before = (out / "digits" / f"{small().stem()}.json").read_bytes()
    with pytest.raises(UsageError):
        train(out, [small(), small(**wrong)], force=True)
    assert (out / "digits" / f"{small().stem()}.json").read_bytes() == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_cannot_be_trained_is_found_before_anything_is(
    jobs: int, out: Path, trained: list[tuple[str, int]]
) -> None:
    with pytest.raises(UsageError, match="batch-size"):
        train(out, [small(), small(batch_size=1438)], jobs)
    assert trained == []
    assert not out.exists()


class Terminal:
    """Standard error that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False)])
def test_progress_bars_belong_to_terminals(
    progress: bool, shown: bool, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train_all([small()], Running(out, jobs=1, progress=progress))
    assert ("2/2" in terminal.text) == shown
    terminal.text = ""
    train_all([small()], Running(out, jobs=1, progress=progress))
    assert terminal.text == ""  # nothing was trained


def test_a_log_has_no_progress_bar(out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_all([small()], Running(out, jobs=1))
    assert capfd.readouterr() == ("", "")
