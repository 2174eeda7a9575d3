"""Wrong use and missing data: one sentence on standard error, exit code 2, nothing trained, nothing lost."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aopnp.data import energy, mnist
from experiments.config import Config, configuration
from experiments.results import SCHEMA, result_path
from tests.experiments.small import Ended, files

Command = Callable[..., Ended]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--k 0", "expected 1 <= K <= M = 144, got --k 0; lower it or raise --batch-size"),
        ("--k -3", "expected 1 <= K <= M = 144, got --k -3; lower it or raise --batch-size"),
        ("--k 145", "expected 1 <= K <= M = 144, got --k 145; lower it or raise --batch-size"),
        ("--batch-size 8", "expected 1 <= K <= M = 8, got --k 9; lower it or raise --batch-size"),
        ("--batch-size 0", "expected --batch-size of at least 1, got 0"),
        ("--epochs 0", "expected --epochs of at least 1, got 0"),
        ("--runs -1", "expected --runs of at least 1, got -1"),
        ("--seed -1", "expected --seed of at least 0, got -1"),
        ("--lr 0", "expected finite step sizes > 0, got lr = 0.0"),
        ("--lr -0.1", "expected finite step sizes > 0, got lr = -0.1"),
        ("--lr nan", "expected finite step sizes > 0, got lr = nan"),
        ("--lr inf", "expected finite step sizes > 0, got lr = inf"),
        ("--decay 1.5", "expected a memory decay from 0 to 1, got 1.5; 1 forgets nothing"),
        ("--decay nan", "expected a memory decay from 0 to 1, got nan; 1 forgets nothing"),
        ("--momentum 1", "expected momentum from 0 to below 1, got 1.0"),
        ("--momentum nan", "expected momentum from 0 to below 1, got nan"),
        (
            "--nesterov",
            "expected a momentum > 0 with nesterov, got 0; set momentum, for example 0.9",
        ),
        ("--memory queue --capacity 0", "got 0"),
        (
            "--policy exact --k 9",
            "expected no --k here, because the exact gradient keeps every outer product, got",
        ),
        (
            "--policy exact --memory row",
            "expected no --memory here, because the exact gradient keeps every outer",
        ),
        (
            "--policy exact --decay 0.5",
            "expected no --decay here, because without memory nothing decays, got",
        ),
        (
            "--memory none --decay 1",
            "expected no --decay here, because without memory nothing decays, got --decay 1",
        ),
        (
            "--capacity 10",
            "expected no --capacity here, because only a queue memory has one, got --capacity 10;",
        ),
        ("--jobs 0", "expected --jobs of at least 1, got 0"),
    ],
)
def test_wrong_use_is_one_sentence(
    words: str, sentence: str, command: Command, out: Path, tmp_path: Path
) -> None:
    assert sentence in command("energy", "--data-dir", tmp_path, *words.split()).refusal("energy")
    assert not out.exists()


@pytest.mark.parametrize(
    "words", ["--policy best", "--k nine", "--memory all", "--dtype float16", "--device tpu"]
)
def test_a_word_that_is_no_choice_is_refused_with_the_choices(words: str, command: Command) -> None:
    ended = command("energy", *words.split())
    option, word = words.split()
    assert ended.code == 2
    assert f"error: argument {option}: invalid " in ended.err.splitlines()[-1]
    assert f"'{word}'" in ended.err.splitlines()[-1]


def test_the_device_is_told_but_not_among_the_errors(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.options.probe", lambda device: (False, "a reason"))
    ended = command("energy", "--device", "auto", "--k", 0)
    assert "expected 1 <= K" in ended.refusal("energy")
    assert ended.out == "device: cpu (a reason)\n"
    monkeypatch.setattr("experiments.options.probe", lambda device: (True, "a GPU"))
    assert command("energy", "--device", "auto", "--k", 0).out == "device: gpu (a GPU)\n"


@pytest.mark.parametrize(
    ("device", "cure"), [("gpu", "pip install 'aopnp[cuda13]'"), ("cuda-sim", "install g++")]
)
def test_a_device_that_does_not_work_is_refused_with_reason_and_cure(
    device: str, cure: str, command: Command, monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    monkeypatch.setattr("experiments.options.probe", lambda device: (False, "a reason"))
    sentence = command("energy", "--device", device).refusal("energy")
    assert sentence.startswith(f"expected a working device, got --device {device}: a reason; ")
    assert cure in sentence
    assert not out.exists()


def test_a_batch_larger_than_the_data_is_refused(
    command: Command, energy_dir: str, out: Path
) -> None:
    sentence = command("energy", "--data-dir", energy_dir, "--batch-size", 577).refusal("energy")
    assert sentence == "expected --batch-size of at most 576, the rows there are, got 577; lower it"
    assert not out.exists()


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sources of data are a port of this machine where nobody listens."""
    pytest.importorskip(
        "pooch",
        reason="pooch, which downloads, is in the extra 'experiments' and not installed here",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(energy, "ENERGY_FILE", replace(energy.ENERGY_FILE, url=url))
    for name, sources in mnist.IMAGE_SETS.items():
        monkeypatch.setitem(
            mnist.IMAGE_SETS, name, tuple(replace(source, url=url) for source in sources)
        )


MISSING = [
    (["energy"], "energy_efficiency", "ENB2012.csv", "https://archive.ics.uci.edu/"),
    (["mnist"], "mnist", "train-images-idx3-ubyte.gz", "http://yann.lecun.com/"),
    (
        ["mnist", "--dataset", "kmnist"],
        "kmnist",
        "train-images-idx3-ubyte.gz",
        "https://codh.rois.ac.jp/kmnist/",
    ),
    (["paper"], "energy_efficiency", "ENB2012.csv", "https://archive.ics.uci.edu/"),
]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(("words", "folder", "name", "source"), MISSING)
def test_missing_data_names_file_folder_and_source_and_leaves_the_folder_as_it_was(
    words: list[str],
    folder: str,
    name: str,
    source: str,
    there: bool,
    command: Command,
    out: Path,
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    if there:
        (data / "other").mkdir(parents=True)
    sentence = command(*words, "--data-dir", data).refusal(words[0])
    assert f"expected the file {name} in {data / folder}, got none" in sentence
    assert source in sentence
    assert files(data) == (["other"] if there else [])
    assert data.exists() == there
    assert not out.exists()


@pytest.mark.usefixtures("_offline")
def test_the_data_folder_may_come_from_the_environment(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AOPNP_DATA_DIR", str(tmp_path / "named"))
    assert str(tmp_path / "named") in command("energy").refusal("energy")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["energy"], "energy_efficiency/ENB2012.csv"),
        (["mnist"], "mnist/train-images-idx3-ubyte.gz"),
    ],
)
def test_damaged_data_is_refused_and_left_as_it_is(
    words: list[str], name: str, command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not what it should be")
    sentence = command(*words, "--data-dir", tmp_path / "data").refusal(words[0])
    assert sentence.startswith(f"{path}: expected a ")
    assert path.read_bytes() == b"not what it should be"


@pytest.mark.usefixtures("_offline")
def test_force_keeps_the_old_result_where_the_data_is_missing(
    command: Command, out: Path, tmp_path: Path
) -> None:
    config = configuration("energy")
    path = result_path(out, config)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"schema": SCHEMA, "config": config.as_dict()}))
    before = path.read_bytes()
    assert "got none" in command("energy", "--force", "--data-dir", tmp_path / "none").refusal(
        "energy"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["results", "results/digits", "results/digits/.runs"])
def test_an_output_folder_that_cannot_be_written_is_found_before_training(
    place: str, command: Command, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a file can be no folder")
    sentence = command("quickstart").refusal("quickstart")
    assert sentence.startswith("expected an output folder that can be written, got ")
    assert str(file) in sentence
    assert sentence.endswith("; choose another --out")
    assert trained == []
    assert file.read_text() == "a file can be no folder"


def test_a_figure_folder_that_cannot_be_written_costs_no_result(
    command: Command, defaults: Callable[..., Config], out: Path, tmp_path: Path
) -> None:
    defaults("digits", epochs=1, runs=1)
    (tmp_path / "figures").write_text("a file can be no folder")
    assert str(tmp_path / "figures") in command("quickstart").refusal("quickstart")
    assert len(list(out.glob("digits/*.json"))) == 7


@pytest.mark.parametrize("named", ["option", "variable"])
def test_missing_published_runs_are_found_before_training(
    named: str,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: list[tuple[str, int]],
) -> None:
    words = ["--recorded", tmp_path / "none"] if named == "option" else []
    if named == "variable":
        monkeypatch.setenv("AOPNP_RECORDED_DIR", str(tmp_path / "none"))
    sentence = command("paper", "--data-dir", tmp_path, *words).refusal("paper")
    assert (
        sentence
        == f"expected the folder of the published runs, got {tmp_path / 'none'}; correct --recorded"
    )
    assert trained == []
