"""`feedback` as a user meets it: help, table, result files, figures, resuming, refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.config import UsageError
from experiments.feedback.config import APPROXIMATE, FeedbackConfig, combined, usual
from experiments.results import result_path
from experiments.runner import Running, train_all, train_unit
from tests.experiments.feedback import made_up, small
from tests.experiments.small import Ended, expected_files, files, without_times

Command = Callable[..., Ended]
OF_THE_RULE = "(its own on this network)"
OPTIONS = {
    "data": "(mnist); alexnet is for a GPU", "rule": "(all)", "b-init": OF_THE_RULE,
    "combine": "each with exact and with approximate weight gradients", "policy": "(exact; combine: topk)",
    "memory": "(row)", "ratio": "(0.125)", "batch-size": "(mnist 128, cifar 50, alexnet 256)",
    "epochs": "(8; full: mnist 100, cifar 100, alexnet 90)", "runs": "(mnist 3, cifar 1, alexnet 1; full: 5)",
    "lr": OF_THE_RULE, "seed": "(0)", "dtype": "(float32)", "full": "", "device": "(auto)", "out": "(results)",
    "data-dir": "($AOPNP_DATA_DIR, else the user's cache directory)", "jobs": "(the number of cores)",
    "no-progress": "", "force": "", "figures": "(figures)",
}  # fmt: skip
SCHEMES = ["bp", "fa", "sign", "kp", "wm", "dfa", "dkp", "fdfa", "drtp", "shallow", "dfa-tiny"]
HOOKS = {"mnist": (3, 7, 11, 15), "cifar": (4, 8, 13)}
"""Layer numbers of the hooks."""
WORDS = ["--batch-size", "50", "--epochs", "2", "--runs", "2"]


@pytest.fixture(autouse=True)
def _pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made_up(monkeypatch)
    monkeypatch.chdir(tmp_path)  # where the figures go


def test_help_lists_every_option_with_its_default(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = command("feedback", "--help")
    assert (ended.code, ended.err) == (0, "")
    listed = {entry.split()[0]: " ".join(entry.split()) for entry in ended.out.split("\n  --")[1:]}
    assert set(listed) == set(OPTIONS)
    for option, default in OPTIONS.items():
        assert listed[option].endswith(default), listed[option]
    assert "{" + ",".join([*SCHEMES[:-1], "dfa-tiny"]) + "}" in listed["rule"]
    assert "{normal,kaiming,zeros,tiny}" in listed["b-init"]


@pytest.mark.parametrize("data", HOOKS)
def test_the_command_trains_compares_and_draws_all_rules(
    data: str, command: Command, out: Path, trained: list[tuple[str, int]]
) -> None:
    runs, epochs = (2, 2) if data == "mnist" else (1, 1)
    words = f"--data {data} --batch-size 50 --epochs {epochs} --runs {runs}".split()
    ended = command("feedback", *words)
    assert (ended.code, ended.err) == (0, "")
    configs = usual(f"feedback-{data}", batch_size=50, epochs=epochs, runs=runs)
    assert trained == [(config.stem(), run) for config in configs for run in range(runs)]
    assert files(out) == expected_files(out, configs)  # type: ignore[arg-type]
    lines = ended.out.splitlines()
    rows = [line.split() for line in lines[1 : len(SCHEMES) + 1]]
    assert [row[0] for row in rows] == SCHEMES
    assert ("Published for MNIST" in ended.out) == (data == "mnist")
    figures = [
        f"figures/feedback-{data}{configs[0].settings()}.{ending}" for ending in ("png", "svg")
    ]
    assert lines[-2:] == figures
    assert Path(figures[0]).read_bytes().startswith(b"\x89PNG")
    results = {
        config.scheme(): json.loads(result_path(out, config).read_text()) for config in configs
    }
    for config, result in zip(configs, results.values(), strict=True):
        assert (result["schema"], result["status"], result["config"]) == (
            1,
            "finished",
            config.as_dict(),
        )
        assert np.shape(result["history"]["val_loss"]) == (runs, epochs)
        angles = {name for name in result["history"] if name.startswith("alignment_angle")}
        expected = (
            set()
            if config.rule == "shallow"
            else {f"alignment_angle/{hook}" for hook in HOOKS[data]}
        )
        assert angles == expected
        assert all(np.shape(result["history"][name]) == (runs, epochs) for name in angles)
    assert not np.any([results["bp"]["history"][f"alignment_angle/{hook}"] for hook in HOOKS[data]])
    flops = {scheme: np.sum(result["history"]["flops"]) for scheme, result in results.items()}
    assert (
        flops["shallow"]
        < flops["dfa"]
        == flops["dfa-tiny"]
        == flops["drtp"]
        < flops["dkp"]
        < flops["fdfa"]
    )
    assert flops["dfa"] < flops["fa"] == flops["sign"] == flops["kp"] == flops["bp"] < flops["wm"]
    assert [row[-2] for row in rows] == [f"{value / flops['bp']:.3f}" for value in flops.values()]
    trained.clear()
    assert command("feedback", *words).out == ended.out
    assert trained == []


@pytest.mark.parametrize("data", HOOKS)
def test_the_combination_study(data: str, command: Command, out: Path) -> None:
    words = f"--data {data} --combine --batch-size 50 --epochs 1 --runs 1".split()
    ended = command("feedback", *words)
    assert (ended.code, ended.err) == (0, "")
    configs = combined(f"feedback-{data}", APPROXIMATE, batch_size=50, epochs=1, runs=1)
    assert files(out) == expected_files(out, configs)  # type: ignore[arg-type]
    lines = ended.out.splitlines()
    rules = ("bp", "dfa", "dkp")
    expected = [name for rule in rules for name in (rule, f"{rule}-topk-row-ratio0.125")]
    assert [line.split()[0] for line in lines[1:7]] == expected
    assert lines[-2] == f"figures/feedback-{data}-combine{configs[0].settings()}.png"
    assert Path(lines[-2]).read_bytes().startswith(b"\x89PNG")
    histories = [json.loads(result_path(out, config).read_text())["history"] for config in configs]
    for rule, exact, approximate in zip(rules, histories[::2], histories[1::2], strict=True):
        assert np.sum(approximate["flops"]) < np.sum(exact["flops"]), rule
        assert np.sum(approximate["exact_flops"]) == np.sum(exact["exact_flops"])
        assert exact["train_loss"] != approximate["train_loss"]


def test_other_approximations_can_be_combined(command: Command, out: Path) -> None:
    assert (
        command(
            "feedback", "--combine", *WORDS, "--policy", "randk", "--memory", "none", "--ratio", 0.5
        ).code
        == 0
    )
    stems = {path.stem.removesuffix("-batch-size50-epochs2-runs2") for path in out.glob("*/*.json")}
    assert stems == {
        name for rule in ("bp", "dfa", "dkp") for name in (rule, f"{rule}-randk-none-ratio0.5")
    }


def test_what_is_finished_is_kept_and_the_rest_is_the_same(
    out: Path, trained: list[tuple[str, int]]
) -> None:
    configs = [small(rule="dkp"), small(rule="wm", **APPROXIMATE)]
    whole = train_all(configs, Running(out / "whole", jobs=1, progress=False))
    trained.clear()
    train_unit([(configs[1], 1)], out / "parts", None)
    results = train_all(configs, Running(out / "parts", jobs=1, progress=False))
    assert trained == [
        (configs[1].stem(), 1),
        (configs[0].stem(), 0),
        (configs[0].stem(), 1),
        (configs[1].stem(), 0),
    ]
    assert [without_times(r) for r in results] == [without_times(r) for r in whole]
    assert files(out / "parts") == expected_files(out / "parts", configs)  # type: ignore[arg-type]


ONE: list[tuple[str, FeedbackConfig]] = [
    (
        "--rule dfa --b-init kaiming --seed 3 --dtype float64",
        small(b_init="kaiming", seed=3, dtype="float64"),
    ),
    ("--rule dfa-tiny", small(b_init="tiny")),
    ("--rule dfa --b-init tiny", small(b_init="tiny")),
    ("--rule drtp --lr 0.01", small(rule="drtp", lr=0.01)),
    ("--rule fa --policy topk", small(rule="fa", **APPROXIMATE)),
    (
        "--rule dkp --b-init zeros --policy weightedk --memory none --ratio 0.5",
        small(rule="dkp", b_init="zeros", policy="weightedk", memory="none", ratio=0.5),
    ),
    ("--rule shallow --full", small("feedback-mnist-full", "shallow")),
    ("--rule bp --policy exact", small(rule="bp")),
]


@pytest.mark.parametrize(("words", "config"), ONE)
def test_one_rule_trains_that_configuration_only(
    words: str, config: FeedbackConfig, command: Command, out: Path
) -> None:
    ended = command("feedback", *WORDS, *words.split())
    assert (ended.code, ended.err) == (0, "")
    assert files(out) == expected_files(out, [config])  # type: ignore[list-item]
    assert ended.out.splitlines()[-1] == str(result_path(out, config))
    assert ended.out.splitlines()[1].startswith(f"{config.scheme()} ")
    assert not Path("figures").exists()
    assert json.loads(result_path(out, config).read_text())["config"] == config.as_dict()


def test_the_complete_cifar_10_is_asked_for_in_full(command: Command, out: Path) -> None:
    for data in ("cifar", "alexnet"):
        sentence = command("feedback", "--data", data, "--full").refusal("feedback")
        assert sentence.startswith("expected the file cifar-10-binary.tar.gz, got none")
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--lr 0.1", "expected no --lr here, because every rule has its own; name one with --rule, got --lr 0.1"),
        ("--b-init tiny", "expected no --b-init here, because every rule has its own; name one with --rule"),
        ("--combine --lr 0.1", "expected no --lr here, because every rule has its own; name one with --rule"),
        ("--combine --rule dfa", "expected no --combine here, because --rule dfa names one, got --combine"),
        ("--policy topk", "expected no --policy here, because all rules are compared with exact weight gradients; a"),
        ("--combine --policy exact", "expected no --policy here, because --combine trains with exact weight gradients"),
        ("--memory row", "expected no --memory here, because exact weight gradients keep every outer product"),
        ("--rule bp --ratio 0.5", "expected no --ratio here, because exact weight gradients keep every outer product"),
        ("--rule bp --policy exact --memory row", "expected no --memory here, because exact weight gradients keep "),
        ("--rule fa --b-init tiny", "expected no --b-init here, because --rule fa has no direct feedback"),
        ("--rule dfa-tiny --b-init tiny", "expected no --b-init here, because --rule dfa-tiny names one"),
        ("--rule shallow --policy topk", "expected no --policy here, because --rule shallow trains no hidden layer"),
        ("--rule dfa --b-init zeros", "expected a B that is not zero with --rule dfa, which never changes it, got "),
        ("--rule dfa --policy topk --ratio 0", "expected --ratio above 0 and up to 1, which keeps everything, got 0.0"),
        ("--combine --policy bernoulli", "expected no memory beside "),
        ("--epochs 0", "expected --epochs of at least 1, got 0"),
        ("--rule bp --lr nan", "expected finite step sizes > 0, got lr = nan"),
        ("--jobs 0", "expected --jobs of at least 1, got 0"),
        ("--batch-size 111", "expected --batch-size of at most 110, the rows there are, got 111; lower it"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence(words: str, sentence: str, command: Command, out: Path) -> None:
    assert command("feedback", *words.split()).refusal("feedback").startswith(sentence)
    assert not out.exists()


@pytest.mark.parametrize(
    "words", ["--rule best", "--data digits", "--b-init ones", "--memory queue", "--policy best"]
)
def test_a_word_that_is_no_choice_is_refused_with_the_option(words: str, command: Command) -> None:
    ended = command("feedback", *words.split())
    assert ended.code == 2
    assert f"error: argument {words.split()[0]}: invalid " in ended.err.splitlines()[-1]


def test_a_diverged_run_is_told(command: Command) -> None:
    ended = command("feedback", *WORDS, "--rule", "drtp", "--lr", 1e38)
    assert ended.code == 1
    assert (
        "feedback-mnist/drtp-batch-size50-epochs2-runs2-lr1e+38: run 0 diverged: its loss stopped"
        in ended.err
    )
    assert ended.out.splitlines()[1].startswith("drtp (diverged)  not finite")


def test_a_check_comes_before_anything_is_trained(out: Path, trained: list[Any]) -> None:
    with pytest.raises(UsageError):
        train_all([small(), replace(small(), ratio=2.0)], Running(out, jobs=1, progress=False))
    assert trained == []
    assert not out.exists()
