"""`binary` as a user meets it: help, tables, result files, figures, flips, forward gradients, refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aopnp import Streams
from aopnp.estimators.step import Step
from aopnp.nn import CrossEntropy
from aopnp.nn.soft_weights import SoftWeight
from experiments.binary.config import BinaryConfig, default
from experiments.binary.flips import CountFlips
from experiments.binary.networks import Parts, mlp
from experiments.binary.sets import ROWS, SETS, made
from experiments.binary.soft import STORAGES
from experiments.binary.table import HEADER
from experiments.results import result_path
from experiments.training import train_stack
from tests.experiments.forward import made_up
from tests.experiments.small import Ended, expected_files, files

Command = Callable[..., Ended]
SMALL = {"width": 2, "batch_size": 50, "epochs": 2}
WORDS = ["--width", 2, "--batch-size", 50, "--epochs", 2]
SUFFIX = "-width2"
OPTIONS = {
    "network": "(bcnn and mlp, one after the other; bvgg16 is for a GPU)", "soft": "this one only (a set of them)",
    "row": "(rows 6 to 8: `forward`)", "update": "(sgd)", "lr": "(sgd 0.1, adam 0.005)", "init": "(uniform)",
    "strategy": "(backprop)", "num-dir": "(10)", "clip": "(1.0)", "width": "(bcnn 16, mlp 256, bvgg16 64)",
    "batch-size": "(50)", "epochs": "(bcnn 2, mlp 3, bvgg16 50)", "runs": "(1)", "seed": "(0)", "dtype": "(float32)",
    "full": "10 epochs, 5 runs", "device": "(auto)", "out": "(results)",
    "data-dir": "($AOPNP_DATA_DIR, else the user's cache directory)", "jobs": "(the number of cores)",
    "no-progress": "", "force": "", "figures": "(figures)",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made_up(monkeypatch)
    monkeypatch.chdir(tmp_path)  # where the figures go


def test_help_lists_every_option_with_its_default(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    ended = command("binary", "--help")
    assert (ended.code, ended.err) == (0, "")
    listed = {entry.split()[0]: " ".join(entry.split()) for entry in ended.out.split("\n  --")[1:]}
    assert set(listed) == set(OPTIONS)
    for option, default_words in OPTIONS.items():
        assert listed[option].endswith(default_words), listed[option]
    assert "{" + ",".join(STORAGES) + "}" in listed["soft"]


def test_the_command_trains_compares_and_draws_two_sets(
    command: Command, out: Path, trained: list[tuple[str, int]]
) -> None:
    words = ["--width", 2, "--epochs", 1]
    ended = command("binary", *words)
    assert (ended.code, ended.err) == (0, "")
    sets = {
        name: made(name, SETS[name], {"width": 2, "epochs": 1}) for name in ("binary", "binary-mlp")
    }
    configs = [config for each in sets.values() for config in each]
    assert trained == [(config.stem(), 0) for config in configs]
    assert files(out) == expected_files(out, configs)  # type: ignore[arg-type]
    lines = ended.out.splitlines()
    for name in sets:
        figures = [f"figures/{name}-width2-epochs1.{ending}" for ending in ("png", "svg")]
        assert set(figures) < set(lines)
        assert Path(figures[0]).read_bytes().startswith(b"\x89PNG")
    smaller = {
        line.split()[0]: line.split()[-3]
        for line in lines
        if line.startswith(("5-bit-", "float-", "8-bit"))
    }
    assert (smaller["float-sgd"], smaller["float-adam"]) == ("1.00", "1.00")
    expected = {"5-bit-sgd": 32 / 5, "8-bit-sgd": 4, "5-bit-adam": 96 / 69}
    for name, ratio in expected.items():
        assert float(smaller[name]) == pytest.approx(
            ratio, rel=0.02
        )  # the last byte of a tensor is filled up
    trained.clear()
    assert command("binary", *words).out == ended.out
    assert trained == []


def history(soft: str, update: str = "sgd", **changes: Any) -> dict[str, Any]:
    config = replace(
        default("binary-mlp", soft, update), **{**SMALL, "width": 8, "batch_size": 10, **changes}
    )
    return train_stack([(config, 0)], None)[0]["history"]


def test_the_naive_rule_flips_nothing_and_trains_batch_norm_alone() -> None:
    naive, frozen = history("naive"), history("frozen")
    assert naive == frozen
    assert naive["flips"] == [0, 0]
    assert naive["train_loss"][0] > naive["train_loss"][1]


def test_soft_weights_and_flips_by_chance_do_flip() -> None:
    for soft in ("float", "5-bit", "memoryless", "bop"):
        assert min(history(soft, lr=0.5)["flips"]) > 0


def test_flips_are_counted_from_step_to_step() -> None:
    network, streams = mlp(Parts(3, STORAGES["memoryless"])), Streams(0, [0, 1])
    network.initialise(streams, np.float64)
    rule = CountFlips(default("binary-mlp", "float").learning_rule(1).inner)  # type: ignore[attr-defined]
    rule.begin(network, streams)
    x, target = np.random.default_rng(0).random((1, 4, 784)), np.zeros((1, 4), np.int64)
    soft = [p for p in network.parameters() if isinstance(p, SoftWeight)]
    weights = 784 * 3 + 3 * 3 + 3 * 10
    assert rule.observations() == {}
    for step, turned in enumerate([0, 3, 2]):
        displacement = np.zeros(soft[0].shape)
        displacement[1, :turned, 0] = -2 * soft[0].numbers()[1, :turned, 0]
        soft[0].move(displacement, step)
        rule(network, CrossEntropy(), x, target, Step(step, training=True))
    np.testing.assert_allclose(rule.observations()["flips"], [0, 5 / weights], rtol=1e-12)
    assert rule.observations() == {}


def test_forward_gradients_train_a_binary_network(command: Command, out: Path) -> None:
    words = [
        "--network",
        "mlp",
        "--soft",
        "5-bit",
        "--update",
        "adam",
        "--strategy",
        "rademacher",
        "--num-dir",
        3,
    ]
    ended = command("binary", *words, *WORDS, "--clip", 0.5, "--init", "glorot", "--lr", 0.01)
    assert (ended.code, ended.err) == (0, "")
    config = replace(
        default("binary-mlp", "5-bit", "adam", "rademacher"),
        **SMALL,
        num_dir=3,
        clip=0.5,
        init="glorot",
        lr=0.01,
    )
    assert files(out) == expected_files(out, [config])  # type: ignore[list-item]
    path = result_path(out, config)  # type: ignore[arg-type]
    assert ended.out.splitlines()[-1] == str(path)
    content = json.loads(path.read_text())
    assert content["config"] == config.as_dict()
    assert {"clipped_share", "flips", "flops"} < set(content["history"])


def test_row_five_trains_every_strategy(command: Command, out: Path) -> None:
    ended = command("binary", "--row", 5, "--width", 1, "--epochs", 1)
    assert (ended.code, ended.err) == (0, "")
    names = [f"{config.scheme()}-width1-epochs1.json" for config in made(*ROWS[5], {})]
    assert ended.out.splitlines()[-len(names) :] == [str(out / "binary" / name) for name in names]
    assert [f"S{number}" in ended.out for number in (0, 2, 3, 4, 5, 6, 7, 8)] == [True] * 8


def test_differences_are_paired_with_float_of_the_same_optimiser(
    command: Command, out: Path
) -> None:
    ended = command("binary", "--network", "mlp", *WORDS, "--runs", 2)
    header, *lines = (
        ended.out.splitlines()[1:] if ended.out.startswith("device") else ended.out.splitlines()
    )
    column = header.index("- float")
    found = {line.split()[0]: line[column : header.index("flips")].strip() for line in lines[:8]}
    assert [value for name, value in found.items() if name.startswith("float")] == ["-"] * 4

    def last(name: str) -> Any:
        content = json.loads((out / "binary-mlp" / f"{name}-width2-epochs2-runs2.json").read_text())
        return np.array([run[-1] for run in content["history"]["val_accuracy"]])

    for name in ("5-bit-sgd", "5-bit-adam-initglorot"):
        difference = (last(name) - last(name.replace("5-bit", "float"))).mean()
        assert found[name].startswith(f"{difference:+.4f} +- ")
    assert len(header.split("  ")) >= len(HEADER) - 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--row 2 --soft float",
            "expected no --soft here, because --row 2 names them, got --soft float; leave it out",
        ),
        ("--row 2 --network mlp", "expected no --network here, because --row 2 names them"),
        (
            "--lr 0.1",
            "expected no --lr here, because every configuration has its own; name a --soft, got --lr 0.1",
        ),
        ("--init glorot", "expected no --init here, because every configuration has its own"),
        (
            "--soft float --num-dir 2",
            "expected no --num-dir here, because back-propagation has no directions",
        ),
        (
            "--soft float --strategy backprop --clip 2",
            "expected no --clip here, because back-propagation has no",
        ),
        (
            "--full --runs 3",
            "expected no --runs here, because --full names both, got --runs 3; leave it out",
        ),
        (
            "--soft naive --strategy frame --num-dir 9999999",
            "expected at most n = 319844 orthonormal directions, got",
        ),
        ("--soft float --lr 0", "expected finite step sizes > 0, got lr = 0.0"),
        ("--batch-size 1", "expected --batch-size of at least 2, got 1"),
        (
            "--batch-size 111",
            "expected --batch-size of at most 110, the rows there are, got 111; lower it",
        ),
    ],
)
def test_wrong_use_is_one_sentence(words: str, sentence: str, command: Command, out: Path) -> None:
    assert command("binary", *words.split()).refusal("binary").startswith(sentence)
    assert not out.exists()


@pytest.mark.parametrize("words", ["--row 6", "--soft 3-bit", "--network vgg", "--strategy best"])
def test_a_word_that_is_no_choice_is_refused_with_the_option(words: str, command: Command) -> None:
    ended = command("binary", *words.split())
    assert ended.code == 2
    assert f"error: argument {words.split()[0]}: invalid " in ended.err.splitlines()[-1]


def test_bvgg16_asks_for_the_complete_cifar_10(command: Command, out: Path) -> None:
    for words in (["--row", 3], ["--network", "bvgg16"]):
        assert (
            command("binary", *words)
            .refusal("binary")
            .startswith("expected the file cifar-10-binary.tar.gz")
        )
    assert not out.exists()


def test_full_trains_longer_and_more_often(
    monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    seen: list[BinaryConfig] = []
    monkeypatch.setattr(
        "experiments.binary.command._train", lambda configs, *_: seen.extend(configs) or 0
    )
    assert command("binary", "--full", "--network", "bcnn").code == 0
    assert {(config.epochs, config.runs, config.width) for config in seen} == {(10, 5, 16)}
