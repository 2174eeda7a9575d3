"""The commands as a user meets them: help, tables, result files, figures."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy

from aopnp.arrays import has_gpu
from aopnp.estimators.ledger import SPENT
from experiments.__main__ import COMMANDS, main
from experiments.config import Config, configuration
from experiments.paper import configurations
from experiments.results import result_path
from tests.experiments.small import Ended, expected_files, files

Command = Callable[..., Ended]

RUNNING = {
    "device": "(auto)", "out": "(results)", "jobs": "(the number of cores)", "no-progress": "", "force": "",
}  # fmt: skip
DATA = {"data-dir": "($AOPNP_DATA_DIR, else the user's cache directory)"}
FIGURES = {"figures": "(figures)"}
ONE = {
    "policy": "(topk)", "memory": "(row)", "capacity": "(the batch size)", "runs": "(10)", "lr": "(0.01)",
    "decay": "(1.0)", "momentum": "(0.0)", "nesterov": "", "seed": "(0)", "dtype": "(float32)",
}  # fmt: skip
OPTIONS = {
    "quickstart": RUNNING | FIGURES,
    "energy": ONE | RUNNING | DATA | {"k": "(9)", "batch-size": "(144)", "epochs": "(100)"},
    "mnist": ONE
    | RUNNING
    | DATA
    | {"k": "(8)", "batch-size": "(64)", "epochs": "(30)", "dataset": "(mnist)"},
    "paper": RUNNING | DATA | FIGURES | {"only": "(both)", "recorded": "($AOPNP_RECORDED_DIR)"},
    "check": RUNNING | DATA | {"only": "(both)"},
    "bench": DATA | {"repeats": "(20)", "out": "(results)", "only": "(all but paper)"},
    "info": DATA | {"out": "(results)"},
}
CHOICES = {
    "policy": "{exact,topk,weightedk,randk}",
    "memory": "{none,row,residual,queue}",
    "dtype": "{float32,float64}",
    "device": "{auto,cpu,gpu,cuda-sim}",
    "dataset": "{mnist,fashion_mnist,kmnist}",
}


@pytest.mark.parametrize("name", OPTIONS)
def test_help_lists_every_option_with_its_default(
    name: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = command(name, "--help")
    assert (ended.code, ended.err) == (0, "")
    listed = {entry.split()[0]: " ".join(entry.split()) for entry in ended.out.split("\n  --")[1:]}
    assert set(listed) == set(OPTIONS[name])
    for option, default in OPTIONS[name].items():
        assert listed[option].endswith(default), listed[option]
        assert CHOICES.get(option, "") in listed[option]


def test_help_lists_every_command_with_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    listed = " ".join(
        capsys.readouterr().out.split("command\n")[1].split("\n\noptions:")[0].split()
    )
    assert listed == " ".join(f"{name} {line}" for name, (line, _) in COMMANDS.items())
    assert set(OPTIONS) <= set(COMMANDS)


def rows(text: str) -> list[list[str]]:
    """The cells of the table in what a command printed."""
    lines = text.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("scheme ")) + 1 :]
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in table
        if " +- " in line
    ]


def test_quickstart_prints_seven_schemes_and_draws_them(
    command: Command, defaults: Callable[..., Config], out: Path, tmp_path: Path
) -> None:
    defaults("digits", epochs=2, runs=2)
    ended = command("quickstart")
    assert (ended.code, ended.err) == (0, "")
    assert "2 runs of 2 epochs; each step keeps K = 8 of the M = 64" in ended.out
    table = rows(ended.out)
    policies = ("topk", "weightedk", "randk")
    schemes = [
        f"{policy}, memory {memory}, K = 8" for memory in ("none", "row") for policy in policies
    ]
    assert [row[0] for row in table] == ["exact", *schemes]
    assert [row[-1] for row in table] == ["100.0 %", *["12.5 %"] * 6]
    figures = [tmp_path / "figures" / f"quickstart.{ending}" for ending in ("png", "svg")]
    assert ended.out.splitlines()[-2:] == [str(path) for path in figures]
    assert figures[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in figures[1].read_bytes()
    assert len(list(out.glob("digits/*.json"))) == 7


def test_energy_prints_its_values_and_its_file(
    command: Command, energy_dir: str, out: Path
) -> None:
    words = [
        "--epochs",
        3,
        "--runs",
        2,
        "--k",
        3,
        "--memory",
        "queue",
        "--capacity",
        50,
        "--dtype",
        "float64",
    ]
    ended = command("energy", *words, "--data-dir", energy_dir)
    assert (ended.code, ended.err) == (0, "")
    ((scheme, *_, accuracy, share),) = rows(ended.out)
    assert (scheme, accuracy, share) == ("topk, memory queue, K = 3", "-", "2.1 %")
    config = configuration(
        "energy", "topk", "queue", k=3, capacity=50, epochs=3, runs=2, dtype="float64"
    )
    assert ended.out.splitlines()[-1] == str(result_path(out, config))
    assert files(out) == expected_files(out, [config])
    assert set(json.loads(result_path(out, config).read_text())["history"]) == {
        "train_loss",
        "val_loss",
        *SPENT,
    }


def test_every_option_reaches_the_configuration(
    command: Command, energy_dir: str, out: Path
) -> None:
    words = "--policy randk --memory queue --capacity 7 --k 5 --batch-size 96 --epochs 2 --runs 1 --lr 0.02 --decay 0.5"
    more = "--momentum 0.5 --nesterov --seed 3 --dtype float64"
    assert command("energy", "--data-dir", energy_dir, *words.split(), *more.split()).code == 0
    (path,) = out.glob("energy/*.json")
    assert json.loads(path.read_text())["config"] == {
        "experiment": "energy", "dataset": "energy", "policy": "randk", "memory": "queue", "k": 5, "batch_size": 96,
        "epochs": 2, "runs": 1, "lr": 0.02, "decay": 0.5, "momentum": 0.5, "nesterov": True, "seed": 3,
        "dtype": "float64", "device": "cpu", "capacity": 7,
    }  # fmt: skip


def test_paper_trains_19_configurations_of_energy_and_draws_three_figures(
    command: Command, defaults: Callable[..., Config], energy_dir: str, out: Path, tmp_path: Path,
    trained: list[tuple[str, int]],
) -> None:  # fmt: skip
    defaults("energy", epochs=3, runs=2)
    ended = command("paper", "--only", "energy", "--data-dir", energy_dir)
    assert (ended.code, ended.err) == (0, "")
    assert files(out) == expected_files(out, configurations("energy"))
    assert len(rows(ended.out)) == len(list(out.glob("energy/*.json"))) == 19
    names = [f"{name}.{ending}" for name in ("2a", "2b", "2c") for ending in ("png", "svg")]
    assert files(tmp_path / "figures") == names
    assert ended.out.splitlines()[-6:] == [str(tmp_path / "figures" / name) for name in names]
    assert len(trained) == 38
    trained.clear()
    assert command("energy", "--policy", "randk", "--k", 18, "--data-dir", energy_dir).code == 0
    assert trained == []  # the paper's file is the one that the single command names


def test_info_names_versions_backends_and_folders(
    command: Command, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir()
    ended = command("info", "--data-dir", tmp_path / "data")
    assert (ended.code, ended.err) == (0, "")
    told = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert (told["numpy"], told["scipy"]) == (np.__version__, scipy.__version__)
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"aopnp", "numba", "cupy", "commit"} <= set(told)
    assert told["cpu"].startswith("works (BLAS: ")
    works, reason = has_gpu()
    assert told["gpu"] == f"{'works' if works else 'does not work'}: {reason}"
    assert told["data"] == f"{tmp_path / 'data'} (not there yet)"
    assert told["results"] == f"{out} (exists)"
    monkeypatch.setenv("AOPNP_DATA_DIR", str(tmp_path))
    assert f"data      {tmp_path} (exists)" in command("info").out
    assert os.listdir(tmp_path) == ["results"]
