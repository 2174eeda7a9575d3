"""`forward` as a user meets it: help, tables, result files, figures, resuming, divergence, refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aopnp.training.directions import DIRECTIONS
from experiments.forward.config import default
from experiments.forward.kept import kept_bytes
from experiments.forward.sets import ROWS, usual
from experiments.forward.table import HEADER
from experiments.results import result_path
from tests.experiments.forward import made_up
from tests.experiments.small import Ended, expected_files, files

Command = Callable[..., Ended]
WORDS = ["--width", 4, "--batch-size", 50, "--epochs", 2]
SMALL = {"width": 4, "batch_size": 50, "epochs": 2}
SUFFIX = "-width4-batch-size50-epochs2"


@pytest.fixture(autouse=True)
def _pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made_up(monkeypatch)
    monkeypatch.chdir(tmp_path)  # where the figures go


OPTIONS = {
    "network": "(mlp and narrow, one after the other; vgg16 is for a GPU)", "strategy": "(a set of them)",
    "row": "(rows 1 to 5: `binary`)", "num-dir": "(1)", "clip": "(1.0)", "update": "(sgd)",
    "lr": "narrow 0.002, vgg 0.001, vgg16 0.0001; of backprop mlp 0.1, narrow 0.1, vgg 0.1, vgg16 0.001)",
    "decay": "(mlp 0.97, narrow 0.97, vgg 0.97, vgg16 1)", "width": "(mlp 1024, narrow 256, vgg 8, vgg16 64)",
    "batch-size": "(64)", "epochs": "(mlp 20, narrow 5, vgg 4, vgg16 50, of dear directions fewer)", "runs": "(1)",
    "seed": "(0)", "dtype": "(float32)", "full": "50 epochs, 3 runs", "device": "(auto)", "out": "(results)",
    "data-dir": "($AOPNP_DATA_DIR, else the user's cache directory)", "jobs": "(the number of cores)",
    "no-progress": "", "force": "", "figures": "(figures)",
}  # fmt: skip


def test_help_lists_every_option_with_its_default(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    ended = command("forward", "--help")
    assert (ended.code, ended.err) == (0, "")
    listed = {entry.split()[0]: " ".join(entry.split()) for entry in ended.out.split("\n  --")[1:]}
    assert set(listed) == set(OPTIONS)
    for option, default_words in OPTIONS.items():
        assert listed[option].endswith(default_words), listed[option]
    assert "{backprop," + ",".join(DIRECTIONS) + "}" in listed["strategy"]


def test_the_command_trains_compares_and_draws_two_sets(
    command: Command, out: Path, trained: list[tuple[str, int]]
) -> None:
    ended = command("forward", *WORDS)
    assert (ended.code, ended.err) == (0, "")
    sets = {name: usual(name, **SMALL) for name in ("forward", "forward-narrow")}
    configs = [config for each in sets.values() for config in each]
    assert trained == [(config.stem(), 0) for config in configs]
    assert files(out) == expected_files(out, configs)  # type: ignore[arg-type]
    lines = ended.out.splitlines()
    for name, own in sets.items():
        figures = [f"figures/{name}{SUFFIX}.{ending}" for ending in ("png", "svg")]
        assert set(figures) < set(lines)
        assert Path(figures[0]).read_bytes().startswith(b"\x89PNG")
        for config in own:
            assert any(line.split()[0] == config.scheme() for line in lines if line)
            result = json.loads(result_path(out, config).read_text())  # type: ignore[arg-type]
            assert (result["schema"], result["status"], result["config"]) == (
                1,
                "finished",
                config.as_dict(),
            )
            assert np.shape(result["history"]["val_loss"]) == (1, 2)
            clipped = result["history"].get("clipped_share")
            assert (clipped is not None) == (config.clip is not None)
            assert clipped is None or 0 <= np.min(clipped) <= np.max(clipped) <= 1
    trained.clear()
    assert command("forward", *WORDS).out == ended.out
    assert trained == []


def test_by_default_the_figures_have_no_suffix(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although back-propagation, which comes first, is trained for fewer epochs than the others."""
    seen: list[str] = []
    monkeypatch.setattr("experiments.forward.command.train_all", lambda configs, running: [])
    monkeypatch.setattr("experiments.forward.command.comparison", lambda configs, results: "")
    monkeypatch.setattr(
        "experiments.forward.command.finish", lambda *arguments: seen.append(arguments[-1]) or 0
    )
    for network in ("mlp", "narrow", "vgg"):
        assert command("forward", "--network", network).code == 0
    assert command("forward", "--network", "mlp", "--epochs", 3).code == 0
    assert seen == ["", "", "", "-epochs3"]


@pytest.mark.parametrize(
    "words", ["--strategy frame --num-dir 1000", "--strategy orthogonal --num-dir 500"]
)
def test_more_directions_than_there_is_room_for_are_refused(
    words: str, command: Command, out: Path
) -> None:
    refusal = command("forward", "--width", 1, *words.split()).refusal("forward")
    assert refusal.startswith(
        ("expected at most n = 807 orthonormal directions,", "expected room among the n = 807")
    )
    assert not out.exists()


def test_directions_that_are_drawn_together_are_counted_without_being_drawn() -> None:
    config = replace(default("forward-vgg16", "orthogonal"), width=1, num_dir=20)
    n = (
        9 * (3 + 1 + 2 + 4 + 8 + 16 + 16 + 32 + 64 * 5)
        + 3 * (2 * 1 + 2 * 2 + 3 * 4 + 6 * 8)
        + 8 * 10
        + 10
    )
    assert kept_bytes(config) == 4 * n * 20


def rows(text: str) -> dict[str, list[str]]:
    """The cells of the table, by the name of the scheme."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("scheme "))
    starts = [lines[first].index(name) for name in ("scheme", *HEADER[2:])]
    found = {}
    for line in lines[first + 1 :]:
        if line.startswith("- naive"):
            break
        cells = [line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
        found[cells[0].split("  ")[0]] = cells[1:]
    return found


def test_a_direction_costs_two_forward_passes_and_back_propagation_two(command: Command) -> None:
    """784-4-4-10: forward n, backward n and the input gradients of two layers, tangents n and those of two layers."""
    assert command("forward", "--network", "narrow", *WORDS).code == 0
    exact = rows(command("forward", "--network", "narrow", *WORDS).out)
    cost = {name: cells[HEADER.index("flops / backprop") - 2] for name, cells in exact.items()}
    assert cost["backprop"] == cost["rademacher"] == cost["gaussian"] == cost["frame"] == "1.00"
    ended = command(
        "forward", "--network", "narrow", "--strategy", "rademacher", "--num-dir", 3, *WORDS
    )
    assert len(rows(ended.out)) == 1
    n, upper = 784 * 4 + 4 * 4 + 4 * 10, 4 * 4 + 4 * 10
    history = json.loads(Path(ended.out.splitlines()[-1]).read_text())["history"]
    np.testing.assert_array_equal(history["flops"], [[2 * 2 * 50 * (n + 3 * (n + upper))] * 2])


def test_naive_is_what_differences_are_paired_with(command: Command, out: Path) -> None:
    ended = command("forward", "--network", "narrow", *WORDS, "--runs", 2)
    found = rows(ended.out)
    column = HEADER.index("- naive") - 2
    assert found["rademacher"][column] == "-"
    last = {
        name: np.array([run[-1] for run in json.loads(path.read_text())["history"]["val_loss"]])
        for name in ("rademacher", "gaussian")
        if (path := out / "forward-narrow" / f"{name}{SUFFIX}-runs2.json")
    }
    assert found["gaussian"][column].startswith(
        f"{(last['gaussian'] - last['rademacher']).mean():+.4f} +- "
    )


def test_bytes_are_those_of_what_is_remembered() -> None:
    n = 4 * (784 * 4 + 4 + 4 * 4 + 4 + 4 * 10 + 10)
    expected = {
        "backprop": 0,
        "rademacher": 0,
        "row_space": 0,
        "anchor": n,
        "aligned": n,
        "orthogonal": n,
    }
    for strategy, kept in expected.items():
        assert kept_bytes(replace(default("forward", strategy), width=4)) == kept
    critical = kept_bytes(replace(default("forward", "rademacher"), width=4, update="critical"))
    assert 10 * n < critical < 10 * n + 1000  # ten gradients, and their priorities
    adam = kept_bytes(replace(default("forward-vgg", "rademacher"), width=1, update="adam"))
    assert adam == 2 * 4 * (9 * (3 + 2 + 8) + 3 * 7 + 64 * 10 + 10)


def test_one_strategy_trains_that_one_only(command: Command, out: Path) -> None:
    words = "--num-dir 3 --clip none --update critical --lr 0.002 --decay 0.5 --seed 3 --dtype float64 --runs 2"
    ended = command("forward", "--strategy", "gaussian", *WORDS, *words.split())
    assert (ended.code, ended.err) == (0, "")
    config = replace(
        default("forward", "gaussian"), **SMALL, num_dir=3, clip=None, update="critical", lr=0.002, decay=0.5, seed=3,
        dtype="float64", runs=2,
    )  # fmt: skip
    assert files(out) == expected_files(out, [config])  # type: ignore[list-item]
    assert ended.out.splitlines()[-1] == str(result_path(out, config))  # type: ignore[arg-type]
    assert not Path("figures").exists()


def test_a_row_trains_its_configurations(command: Command, out: Path) -> None:
    ended = command("forward", "--row", 7, *WORDS)
    assert (ended.code, ended.err) == (0, "")
    names = [f"{strategy}-lr0.0001{SUFFIX}-runs3.json" for strategy in ("gaussian", "orthogonal")]
    assert files(out) == ["forward", *(f"forward/{name}" for name in names)]
    assert ended.out.splitlines()[-2:] == [str(out / "forward" / name) for name in names]
    (row,) = [line for line in ended.out.splitlines() if line.startswith("orthogonal")]
    assert row.count(" +- ") == 5  # two losses, the difference to gaussian, accuracy, clipped share


def test_what_diverges_without_a_clip_is_shown_and_no_failure(command: Command, out: Path) -> None:
    words = ["--network", "narrow", "--strategy", "rademacher", "--lr", 1e12, *WORDS]
    ended = command("forward", *words, "--clip", "none")
    assert (ended.code, ended.err) == (0, "")
    assert "rademacher-clipNone-lr1000000000000 (diverged in epoch 1)" in ended.out
    other = command("forward", *words[:-6], *WORDS, "--clip", 1e30)
    assert other.code == 1
    assert "run 0 diverged: its loss stopped being finite" in other.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--row 7 --strategy gaussian",
            "expected no --strategy here, because --row 7 names them, got --strategy gau",
        ),
        ("--row 7 --network vgg", "expected no --network here, because --row 7 names them"),
        (
            "--lr 0.1",
            "expected no --lr here, because every configuration has its own; name a --strategy, got --lr 0.1",
        ),
        ("--clip none", "expected no --clip here, because every configuration has its own"),
        (
            "--strategy backprop --num-dir 2",
            "expected no --num-dir here, because back-propagation has no directions",
        ),
        ("--full --epochs 3", "expected no --epochs here, because --full names both"),
        (
            "--strategy gaussian --clip 0",
            "expected a clip > 0 for the derivatives, or None, got 0.0",
        ),
        ("--strategy gaussian --num-dir 0", "expected at least one direction, got num_dir = 0"),
        ("--strategy gaussian --clip nan", "expected a clip > 0"),
        ("--epochs 0", "expected --epochs of at least 1, got 0"),
        (
            "--batch-size 111",
            "expected --batch-size of at most 110, the rows there are, got 111; lower it",
        ),
    ],
)
def test_wrong_use_is_one_sentence(words: str, sentence: str, command: Command, out: Path) -> None:
    assert command("forward", *words.split()).refusal("forward").startswith(sentence)
    assert not out.exists()


@pytest.mark.parametrize(
    "words", ["--row 1", "--strategy best", "--clip some", "--network alexnet"]
)
def test_a_word_that_is_no_choice_is_refused_with_the_option(words: str, command: Command) -> None:
    ended = command("forward", *words.split())
    assert ended.code == 2
    assert f"error: argument {words.split()[0]}: invalid " in ended.err.splitlines()[-1]


@pytest.mark.parametrize("row", [6, 8])
def test_rows_of_vgg16_ask_for_the_complete_cifar_10(row: int, command: Command, out: Path) -> None:
    assert ROWS[row][0] == "forward-vgg16"
    assert (
        command("forward", "--row", row)
        .refusal("forward")
        .startswith("expected the file cifar-10-binary.tar.gz")
    )
    assert not out.exists()
