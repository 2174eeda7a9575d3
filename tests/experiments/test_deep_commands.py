"""`mlp`, `cnn` and `cifar` as a user meets them: help, table, result files, figure, resuming, refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aopnp.data import cifar10, mnist
from aopnp.estimators.policies import POLICIES
from experiments.config import UsageError
from experiments.deep.config import DEFAULTS, Deep, exact, usual
from experiments.results import result_path
from experiments.runner import Running, train_all, train_unit
from tests.experiments.deep import made_up, small
from tests.experiments.small import Ended, expected_files, files, without_times

Command = Callable[..., Ended]
NAMES = ("mlp", "cnn", "cifar")


@pytest.fixture(autouse=True)
def _pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made_up(monkeypatch)
    monkeypatch.chdir(tmp_path)  # where the figures go


SHARED = {
    "policy": "(exact, bernoulli, and topk twice)", "memory": "(none)", "ratio": "(0.5)", "where": "(weight)",
    "watch": "", "seed": "(0)", "dtype": "(float32)", "all": "", "full": "", "device": "(auto)", "out": "(results)",
    "data-dir": "($AOPNP_DATA_DIR, else the user's cache directory)", "jobs": "(the number of cores)",
    "no-progress": "", "force": "", "figures": "(figures)",
}  # fmt: skip
OPTIONS = {
    "mlp": {
        "minimal-k": "(10)",
        "batch-size": "(50)",
        "epochs": "(20)",
        "runs": "(5)",
        "lr": "(0.001)",
    },
    "cnn": {
        "minimal-k": "(1)",
        "batch-size": "(64)",
        "epochs": "(2; full: 20)",
        "runs": "(2; full: 5)",
    },
    "cifar": {
        "batch-size": "(128; full: 256)",
        "epochs": "(4; full: 200)",
        "lr": "(0.1; full: 0.15)",
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_help_lists_every_option_with_its_default(
    name: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = command(name, "--help")
    assert (ended.code, ended.err) == (0, "")
    listed = {entry.split()[0]: " ".join(entry.split()) for entry in ended.out.split("\n  --")[1:]}
    assert set(listed) == {*SHARED, "minimal-k", "batch-size", "epochs", "runs", "lr"}
    for option, default in (SHARED | OPTIONS[name]).items():
        assert listed[option].endswith(default), listed[option]
    assert "{exact," + ",".join(POLICIES) + "}" in listed["policy"]
    assert "{none,row,residual}" in listed["memory"]


def base(name: str) -> Deep:
    """What a command trains with the options of `WORDS`."""
    return replace(DEFAULTS[name], batch_size=50, epochs=2, runs=2)


WORDS = ["--batch-size", "50", "--epochs", "2", "--runs", "2"]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_trains_compares_and_draws_its_set(
    name: str, command: Command, out: Path, trained: list[tuple[str, int]]
) -> None:
    runs, epochs = (2, 2) if name == "mlp" else (2, 1)
    words = f"--batch-size 50 --epochs {epochs} --runs {runs}".split()
    ended = command(name, *words)
    assert (ended.code, ended.err) == (0, "")
    configs = usual(replace(DEFAULTS[name], batch_size=50, epochs=epochs, runs=runs))
    assert trained == [(config.stem(), run) for config in configs for run in range(runs)]
    assert files(out) == expected_files(out, configs)
    lines = ended.out.splitlines()
    schemes = [
        "exact",
        "bernoulli, 0.5 of weight",
        "topk, 0.5 of weight",
        "topk, memory row, 0.5 of weight",
    ]
    schemes += ["topk, 0.5 of forward"] * (name == "cnn")
    assert [line.split("  ")[0] for line in lines[1 : len(schemes) + 1]] == schemes
    figures = [f"figures/{name}{configs[0].settings()}.{ending}" for ending in ("png", "svg")]
    assert lines[-2:] == figures
    assert Path(figures[0]).read_bytes().startswith(b"\x89PNG")
    exact_result, *results = [
        json.loads(result_path(out, config).read_text()) for config in configs
    ]
    for config, result in zip(configs, [exact_result, *results], strict=True):
        assert (result["schema"], result["status"], result["config"]) == (
            1,
            "finished",
            config.as_dict(),
        )
        assert result["config"]["experiment"] == name
        assert np.shape(result["history"]["val_loss"]) == (runs, epochs)
    share = [np.sum(r["history"]["flops"]) / np.sum(r["history"]["exact_flops"]) for r in results]
    assert max(share) < 1
    assert [line.split()[-2] for line in lines[2 : len(schemes) + 1]] == [
        f"{part:.3f}" for part in share
    ]
    trained.clear()
    assert command(name, *words).out == ended.out
    assert trained == []


def test_what_is_finished_is_kept_and_the_rest_is_the_same(
    out: Path, trained: list[tuple[str, int]]
) -> None:
    configs = usual(base("mlp"))
    whole = train_all(configs, Running(out / "whole", jobs=1, progress=False))
    trained.clear()
    train_unit([(configs[2], 1)], out / "parts", None)
    results = train_all(configs, Running(out / "parts", jobs=1, progress=False))
    assert trained == [(configs[2].stem(), 1)] + [
        (config.stem(), run)
        for config in configs
        for run in (0, 1)
        if (config, run) != (configs[2], 1)
    ]
    assert [without_times(r) for r in results] == [without_times(r) for r in whole]
    assert files(out / "parts") == expected_files(out / "parts", configs)


def test_more_runs_leave_the_first_ones_as_they_were(out: Path) -> None:
    few, more = train_all([small(), small(runs=3)], Running(out, jobs=1, progress=False))
    assert [runs[:2] for runs in more["history"].values()] == [*few["history"].values()]
    assert len({json.dumps(run) for run in more["history"]["train_loss"]}) == 3


def test_one_policy_trains_that_configuration_only(command: Command, out: Path) -> None:
    words = "--policy topk --memory row --ratio 0.3 --minimal-k 2 --where forward,weight --lr 0.002 --seed 3 --watch"
    ended = command("mlp", *WORDS, *words.split(), "--dtype", "float64")
    assert (ended.code, ended.err) == (0, "")
    config = replace(
        base("mlp"), policy="topk", memory="row", ratio=0.3, minimal_k=2, where="weight,forward", watch=True,
        lr=0.002, seed=3, dtype="float64",
    )  # fmt: skip
    assert files(out) == expected_files(out, [config])
    assert ended.out.splitlines()[-1] == str(result_path(out, config))
    assert not Path("figures").exists()
    result = json.loads(result_path(out, config).read_text())
    assert result["config"] == config.as_dict()
    watched = [name for name in result["history"] if name.startswith("gradient_error")]
    assert len(watched) == 2  # one of each hidden layer
    for name in watched:
        assert np.min(result["history"][name]) > 0
    assert command("mlp", *WORDS, "--policy", "exact").out.splitlines()[1].startswith("exact ")
    assert result_path(out, exact(base("mlp"))).is_file()


def test_all_policies(command: Command, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = command("mlp", "--all", "--batch-size", 50, "--epochs", 1, "--runs", 1)
    assert (ended.code, ended.err) == (0, "")
    for policy in POLICIES:
        assert f"\n{policy}, 0.5 of weight " in ended.out
    assert len(list(out.glob("mlp/*.json"))) == len(POLICIES) + 2


def test_full_is_an_experiment_of_its_own(command: Command, out: Path) -> None:
    ended = command("mlp", "--full", *WORDS, "--policy", "topk")
    assert (ended.code, ended.err) == (0, "")
    assert files(out) == ["mlp-full", "mlp-full/topk-none-ratio0.5-epochs2-runs2.json"]


def test_the_complete_cifar_10_is_asked_for_in_full(command: Command, out: Path) -> None:
    assert (
        command("cifar", "--full")
        .refusal("cifar")
        .startswith("expected the file cifar-10-binary.tar.gz, got none")
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--ratio 0", "expected --ratio above 0 and up to 1, which keeps everything, got 0.0"),
        ("--ratio 1.01", "expected --ratio above 0 and up to 1, which keeps everything, got 1.01"),
        ("--where weights", "expected products among weight, input, forward in --where, got 'weights'; separate"),
        ("--policy topk --memory row --where input", "expected weight in --where input with --memory row, got none; "),
        ("--policy topk --watch --where forward", "expected weight in --where forward with --watch, got none; add it"),
        ("--policy bernoulli --memory row", "expected no memory beside "),
        ("--policy exact --ratio 0.5", "expected no --ratio here, because the exact gradient keeps every outer"),
        ("--policy exact --minimal-k 2", "expected no --minimal-k here, because the exact gradient keeps every outer"),
        ("--policy exact --where input", "expected no --where here, because the exact gradient keeps every outer"),
        ("--policy exact --watch", "expected no --watch here, because the exact gradient keeps every outer product, "
         "got --watch; leave it out"),
        ("--memory row", "expected no --memory here, because without --policy configurations with and without memory"),
        ("--policy topk --all", "expected no --all here, because --policy topk names one, got --all; leave it out"),
        ("--minimal-k 0", "expected --minimal-k of at least 1, got 0"),
        ("--epochs 0", "expected --epochs of at least 1, got 0"),
        ("--lr nan", "expected finite step sizes > 0, got lr = nan"),
        ("--jobs 0", "expected --jobs of at least 1, got 0"),
        ("--batch-size 111", "expected --batch-size of at most 110, the rows there are, got 111; lower it"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence(words: str, sentence: str, command: Command, out: Path) -> None:
    assert command("mlp", *words.split()).refusal("mlp").startswith(sentence)
    assert not out.exists()


@pytest.mark.parametrize(
    "words", ["--policy best", "--memory queue", "--ratio half", "--dtype float16"]
)
def test_a_word_that_is_no_choice_is_refused_with_the_option(words: str, command: Command) -> None:
    ended = command("cnn", *words.split())
    assert ended.code == 2
    assert f"error: argument {words.split()[0]}: invalid " in ended.err.splitlines()[-1]


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No made-up pictures, and all sources of data are a port of this machine where nobody listens."""
    # Before anything is captured: pooch's logger keeps the standard error that it finds.
    pytest.importorskip(
        "pooch",
        reason="pooch, which downloads, is in the extra 'experiments' and not installed here",
    )
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    url = "http://127.0.0.1:9/"
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, url=url))
    monkeypatch.setitem(
        mnist.IMAGE_SETS, "mnist", tuple(replace(f, url=url) for f in mnist.IMAGE_SETS["mnist"])
    )


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("name", NAMES)
def test_missing_data_is_a_sentence(name: str, command: Command, out: Path) -> None:
    sentence = command(name, "--data-dir", out / "none").refusal(name)
    assert sentence.startswith("expected the file ")
    assert f" in {out / 'none' / ('cifar10' if name == 'cifar' else 'mnist')}, got none" in sentence
    assert not out.exists()


def test_a_diverged_run_is_told_and_drawn(command: Command, out: Path) -> None:
    ended = command("cnn", "--batch-size", 50, "--runs", 1, "--lr", 1e12)
    assert ended.code == 1
    assert (
        "cnn/exact-batch-size50-runs1-lr1000000000000: run 0 diverged: its loss stopped"
        in ended.err
    )
    assert "exact (diverged)" in ended.out
    assert Path("figures/cnn-batch-size50-runs1-lr1000000000000.png").is_file()


def test_a_check_comes_before_anything_is_trained(out: Path, trained: list[Any]) -> None:
    with pytest.raises(UsageError):
        train_all([small(), small(ratio=2.0)], Running(out, jobs=1, progress=False))
    assert trained == []
    assert not out.exists()
