"""What a result file holds, that it is never half there, and that one which cannot be trusted is refused."""

import json
import math
import os
import platform
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numba
import numpy as np
import pytest

import aopnp
from aopnp.estimators.ledger import SPENT
from experiments import runner
from experiments.config import Config, UsageError
from experiments.results import result_path, run_path
from experiments.runner import train_unit
from experiments.table import table
from tests.experiments.small import Ended, expected_files, files, small, train, without_times

CURVES = ["train_loss", "train_accuracy", "val_loss", "val_accuracy"]


def refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is not JSON")


def content_of(out: Path, config: Config) -> dict[str, Any]:
    text = result_path(out, config).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text, parse_constant=refuse_constant)
    return content


def test_a_result_file_holds_what_the_interface_says(out: Path) -> None:
    config = small("weightedk", "queue", k=5, runs=3, lr=0.02, seed=9)
    returned = train(out, [config])
    content = content_of(out, config)
    assert returned == [content]
    assert list(content) == ["schema", "status", "config", "history", "seconds", "environment"]
    assert (content["schema"], content["status"]) == (1, "finished")
    assert list(content["config"].items()) == [
        ("experiment", "quickstart"), ("dataset", "digits"), ("policy", "weightedk"), ("memory", "queue"), ("k", 5),
        ("batch_size", 64), ("epochs", 2), ("runs", 3), ("lr", 0.02), ("decay", 1.0), ("momentum", 0.0),
        ("nesterov", False), ("seed", 9), ("dtype", "float32"), ("device", "cpu"), ("capacity", 64),
    ]  # fmt: skip
    assert sorted(content["history"]) == sorted([*CURVES, *SPENT])
    for curves in content["history"].values():
        assert [len(curve) for curve in curves] == [2, 2, 2]
        assert all(type(value) is float for curve in curves for value in curve)
    seconds = content["seconds"]
    assert len(seconds["per_run"]) == 3
    assert all(0 < second < 100 for second in seconds["per_run"])
    assert seconds["total"] == pytest.approx(sum(seconds["per_run"]))


def test_the_environment_names_what_the_result_was_made_with(out: Path) -> None:
    environment = train(out, [small()])[0]["environment"]
    assert set(environment) >= {"aopnp", "python", "numpy", "numba", "cupy", "device", "commit"}
    assert environment["python"] == platform.python_version()
    assert (environment["numpy"], environment["numba"]) == (np.__version__, numba.__version__)
    assert environment["device"] == "cpu"
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        cwd=Path(aopnp.__file__).parent,
        check=False,
    )
    assert environment["commit"] == (head.stdout.strip() or None)


def test_the_exact_gradient_has_neither_k_nor_memory(out: Path) -> None:
    config = train(out, [small("exact", "row", k=3)])[0]["config"]
    assert (config["policy"], config["memory"], config["k"], config["capacity"]) == (
        "exact",
        "none",
        None,
        None,
    )


def test_nothing_else_is_left(out: Path) -> None:
    configs = [small(), small("exact"), small(runs=1)]
    train(out, configs)
    assert files(out) == expected_files(out, configs)


def test_a_result_can_be_read_by_whoever_may_read_new_files(out: Path, tmp_path: Path) -> None:
    train(out, [small()])
    (tmp_path / "new").touch()
    assert stat.S_IMODE(result_path(out, small()).stat().st_mode) == stat.S_IMODE(
        (tmp_path / "new").stat().st_mode
    )


def test_what_does_not_belong_to_the_command_stays(out: Path) -> None:
    """Runs that another command waits for, and a file of the user's, are not swept away."""
    train_unit([(small("randk"), 0)], out, None)
    waiting = run_path(out, small("randk"), 0)
    before = waiting.read_bytes()
    (out / "digits" / "notes.txt").write_text("mine")
    train(out, [small()])
    assert waiting.read_bytes() == before
    assert (out / "digits" / "notes.txt").read_text() == "mine"


class Killed(BaseException):
    """In the place of kill -9: nothing catches it."""


@pytest.mark.parametrize("moment", ["run", "result"])
def test_a_kill_while_a_file_is_written_leaves_no_trace(
    moment: str, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace = os.replace
    target = run_path(out, small(), 1) if moment == "run" else result_path(out, small())

    def killed(source: Path, to: Path) -> None:
        if to == target:
            raise Killed
        replace(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(os, "getpid", lambda: 1)  # the process that continues is another one
        with pytest.raises(Killed):
            train(out, [small()])
    assert not target.exists()
    assert [path.suffix for path in out.rglob("*.tmp")] == [".tmp"]
    (again,) = train(out, [small()])
    assert files(out) == expected_files(out, [small()])
    assert without_times(again) == without_times(train(tmp_path / "other", [small()])[0])


def test_a_kill_while_run_files_are_removed_leaves_none(
    out: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[str, int]]
) -> None:
    def killed(out: Path, config: Config) -> None:
        run_path(out, config, 0).unlink()
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runner, "forget_runs", killed)
        with pytest.raises(Killed):
            train(out, [small()])
    assert run_path(out, small(), 1).is_file()
    first = content_of(out, small())
    trained.clear()
    assert train(out, [small()]) == [first]
    assert trained == []
    assert files(out) == expected_files(out, [small()])


def edited(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(json.loads(data) | changes).encode()


def without(name: str) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps(
        {key: value for key, value in json.loads(data).items() if key != name}
    ).encode()


def other_configuration(data: bytes) -> bytes:
    content = json.loads(data)
    return json.dumps(content | {"config": content["config"] | {"lr": 0.5}}).encode()


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "expected a result file in JSON, got {path}: "),
    "truncated": (lambda data: data[:-20], "expected a result file in JSON, got {path}: "),
    "no text": (lambda data: b"\xff\xfe" + data, "expected a result file in JSON, got {path}: "),
    "list": (
        lambda data: b"[1, 2]",
        "expected a result file of schema 1, got {path} of schema list; ",
    ),
    "no schema": (
        without("schema"),
        "expected a result file of schema 1, got {path} of schema None; ",
    ),
    "schema 2": (edited(schema=2), "expected a result file of schema 1, got {path} of schema 2; "),
    "no configuration": (
        without("config"),
        "expected the configuration {stem}, got another one in {path}; ",
    ),
    "configuration": (
        other_configuration,
        "expected the configuration {stem}, got another one in {path}; ",
    ),
    "no history": (
        without("history"),
        "expected a whole result file, got {path} without history; ",
    ),
    "no seconds": (
        without("seconds"),
        "expected a whole result file, got {path} without seconds; ",
    ),
}


@pytest.mark.parametrize("kind", ["result", "run"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_trusted_is_refused_and_left_as_it_is(
    damage: str,
    kind: str,
    out: Path,
    command: Callable[..., Ended],
    defaults: Callable[..., Config],
    trained: list[tuple[str, int]],
) -> None:
    config = defaults("digits", epochs=1, runs=2)
    if kind == "result":
        train(out, [config])
        path = result_path(out, config)
    else:
        train_unit([(config, 1)], out, None)
        path = run_path(out, config, 1)
    path.write_bytes(DAMAGES[damage][0](path.read_bytes()))
    damaged = path.read_bytes()
    trained.clear()
    sentence = command("quickstart").refusal("quickstart")
    assert sentence.startswith(DAMAGES[damage][1].format(path=path, stem=config.stem()))
    assert sentence.endswith("; move it away, or train again with --force")
    assert path.read_bytes() == damaged
    assert trained == []
    (cured,) = train(out, [config], force=True)
    assert cured["status"] == "finished"
    assert files(out) == expected_files(out, [config])


def test_a_folder_in_the_place_of_a_result_is_refused(out: Path) -> None:
    result_path(out, small()).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"expected a result file in JSON, got .*Is a directory"):
        train(out, [small()])


def test_the_table_shows_mean_and_spread_of_the_last_epoch_and_the_share_of_products(
    out: Path,
) -> None:
    exact, kept = train(out, [small("exact"), small("randk", "none", k=16)])
    header, first, second = table([exact, kept]).splitlines()
    assert header.split("  ")[0] == "scheme"
    for line, result, scheme, share in (
        (first, exact, "exact", "100.0 %"),
        (second, kept, "randk, memory none, K = 16", "25.0 %"),
    ):
        cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        finals = []
        for name in ("train_loss", "val_loss", "val_accuracy"):
            one, two = (curve[-1] for curve in result["history"][name])
            finals.append(f"{(one + two) / 2:.4f} +- {abs(one - two) / math.sqrt(2):.4f}")
        assert cells == [scheme, *finals, share]
