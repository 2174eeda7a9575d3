import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from plots import NAMES, PlotError, draw
from plots.__main__ import main

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]
ROOT = Path(__file__).parents[2]


def command(
    *words: str | Path, code: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "plots"]
    names = {key: value for key, value in os.environ.items() if key != "AOPNP_RECORDED_DIR"}
    return subprocess.run(
        [sys.executable, *start, *map(str, words)],
        cwd=ROOT, env=names | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def no_recorded_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AOPNP_RECORDED_DIR", raising=False)


def test_draws_every_figure_and_prints_the_paths(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "figures"
    assert main([*NAMES, "--results", str(results), "--out", str(out)]) == 0
    expected = [str(out / f"{name}.{ending}") for name in NAMES for ending in ("png", "svg")]
    assert capsys.readouterr().out.splitlines() == expected
    assert sorted(str(path) for path in out.iterdir()) == sorted(expected)
    for path in out.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")


@pytest.mark.parametrize("name", ["2a", "quickstart"])
def test_the_same_input_gives_the_same_bytes(
    name: str, results: Path, recorded: Path, tmp_path: Path
) -> None:
    words = ("--results", results, "--recorded", recorded)
    here = [path.read_bytes() for path in draw(name, results, tmp_path / "a", recorded)]
    assert here == [path.read_bytes() for path in draw(name, results, tmp_path / "b", recorded)]
    elsewhere = command(
        name, *words, "--out", tmp_path / "c", PYTHONHASHSEED="7", SOURCE_DATE_EPOCH="1"
    )
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert here == [Path(path).read_bytes() for path in elsewhere.stdout.split()]
    for content in here:
        assert matplotlib.__version__.encode() not in content
        assert b"dc:date" not in content


def test_the_callers_settings_neither_show_nor_change(results: Path, tmp_path: Path) -> None:
    plain = [path.read_bytes() for path in draw("3a", results, tmp_path / "a")]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "mine"}):
        before = dict(matplotlib.rcParams)
        backend = matplotlib.get_backend()
        assert [path.read_bytes() for path in draw("3a", results, tmp_path / "b")] == plain
        assert dict(matplotlib.rcParams) == before
        assert matplotlib.get_backend() == backend


def test_the_recorded_folder_may_come_from_the_environment(
    results: Path, recorded: Path, tmp_path: Path
) -> None:
    words = ("2a", "--results", results)
    given = command(*words, "--out", tmp_path / "a", "--recorded", recorded).stdout.split()
    known = command(
        *words, "--out", tmp_path / "b", AOPNP_RECORDED_DIR=str(recorded)
    ).stdout.split()
    overlaid, also_overlaid = [
        [Path(path).read_bytes() for path in paths] for paths in (given, known)
    ]
    assert len(overlaid) == 2
    assert overlaid == also_overlaid
    assert overlaid != [path.read_bytes() for path in draw("2a", results, tmp_path / "c")]


def test_an_empty_environment_variable_is_none_at_all(
    results: Path, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AOPNP_RECORDED_DIR", "")
    monkeypatch.chdir(recorded)
    assert main(["2a", "--results", str(results), "--out", str(tmp_path / "a")]) == 0
    plain = [path.read_bytes() for path in draw("2a", results, tmp_path / "b")]
    assert [path.read_bytes() for path in sorted((tmp_path / "a").iterdir())] == plain


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "schema": (lambda content: content.update(schema=2), "expected schema 1 in {path}, got 2: "),
    "no schema": (lambda content: content.pop("schema"), "expected schema 1 in {path}, got None: "),
    "status": (
        lambda content: content.update(status="running"),
        "expected a complete result in {path}, got",
    ),
    "no history": (
        lambda content: content.pop("history"),
        "expected a complete result in {path}, got",
    ),
    "no runs": (
        lambda content: content["history"].update(val_loss=[]),
        "expected a complete result in {path}",
    ),
    "no epochs": (
        lambda content: content["history"].update(val_loss=[[]]),
        "expected a complete result in ",
    ),
    "words": (
        lambda content: content["history"].update(val_loss=[["x"]]),
        "expected a complete result in {path}",
    ),
    "flat": (
        lambda content: content["history"].update(val_loss=[1.0]),
        "expected a complete result in {path}",
    ),
    "a list": (
        lambda content: content.update(history=[]),
        "expected a complete result in {path}, got",
    ),
    "no batch": (
        lambda content: content["config"].clear(),
        "expected a complete result in {path}, got",
    ),
}


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one sentence on standard error with which the command ended; its exit code must have been 2."""
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (sentence,) = captured.err.splitlines()
    return sentence


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_result_is_refused(
    damage: str, results: Path, rewrite: Rewrite, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, expected = DAMAGE[damage]
    path = rewrite("energy/randk-none-k9.json", edit)
    sentence = refused(capsys, "2b", "--results", results)
    assert sentence.startswith(f"python -m plots: {expected.format(path=path)}")
    assert sentence.endswith(": python -m experiments paper --device cpu makes it")


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_broken_json_is_refused(
    content: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = results / "mnist" / "exact.json"
    path.write_text(content)
    sentence = refused(capsys, "3c", "--results", results)
    assert str(path) in sentence
    assert sentence.endswith("python -m experiments paper --device cpu makes it")


@pytest.mark.parametrize(
    ("name", "file", "cure"),
    [
        ("2c", "energy/topk-row-k3.json", "python -m experiments paper --device cpu"),
        ("3b", "mnist/exact.json", "python -m experiments paper --device cpu"),
        (
            "quickstart",
            "digits/weightedk-none-k8.json",
            "python -m experiments quickstart --device cpu",
        ),
    ],
)
def test_a_missing_file_is_named_with_what_makes_it(
    name: str, file: str, cure: str, results: Path
) -> None:
    (results / file).unlink()
    done = command(name, "--results", results)
    assert done.returncode == 2
    assert done.stdout == ""
    expected = f"expected the result file {results / file}, got no such file: {cure} makes it"
    assert done.stderr == f"python -m plots: {expected}\n"


def test_an_out_that_cannot_be_written_is_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("kept")
    sentence = refused(capsys, "2a", "--results", results, "--out", tmp_path / "file")
    assert f"expected to write {tmp_path / 'file' / '2a.png'}, got" in sentence
    assert sentence.endswith("choose another --out")
    assert (tmp_path / "file").read_text() == "kept"


def test_recorded_runs_that_cannot_be_read_are_refused(
    results: Path, recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("3a", "--results", results, "--out", tmp_path / "figures", "--recorded")
    assert f"got {tmp_path / 'none'}: correct --recorded" in refused(
        capsys, *words, tmp_path / "none"
    )
    record = recorded / "mnist_baseline.npz"
    for damaged in (b"", b"text", record.read_bytes()[:200]):
        record.write_bytes(damaged)
        assert f"expected the published runs in {record}, got" in refused(capsys, *words, recorded)


@pytest.mark.parametrize("words", [[], ["4a"], ["2a", "4a"]])
def test_unknown_names_are_wrong_use(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: python -m plots" in capsys.readouterr().err


def test_draw_refuses_an_unknown_name(results: Path, tmp_path: Path) -> None:
    with pytest.raises(PlotError, match=r"expected a figure among 2a, .*, quickstart, got '4a'"):
        draw("4a", results, tmp_path)


def test_without_matplotlib_there_is_a_sentence(results: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from plots.__main__ import main; sys.exit(main())"
    done = command("2a", "--results", results, code=code)
    assert done.returncode == 2
    assert done.stderr.startswith("python -m plots: figures need matplotlib, got ")
    assert done.stderr.endswith(": pip install 'aopnp[experiments]'\n")
    assert len(done.stderr.splitlines()) == 1


def test_plots_imports_neither_the_library_nor_the_experiments(
    results: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from plots.__main__ import main; main();"
        "print([name for name in sys.modules if name.split('.')[0] in ('aopnp', 'experiments')])"
    )
    done = command("2a", "quickstart", "--results", results, "--out", tmp_path, code=code)
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) == 5
