"""Everything that the README shows is executed: its Python blocks here, its commands as far as their options."""

import re
import shlex
from pathlib import Path

import pytest

import plots.__main__ as plots_command
from experiments.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_blocks_run_one_after_another(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 9
    names = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6
    error = [float(value) for value in printed[1].strip("[]").split()]
    assert error[3] < min(error[1:3])
    assert 0.5 < float(printed[2].strip("[]")) < 0.9
    assert 0 < float(printed[3].strip("[]")) < 60
    assert 0 < float(printed[4].strip("[]")) < 1
    assert printed[5] == f"{(64 + 10) * 256 * 5 // 8} {(64 + 10) * 256 * 8}"
    assert [path.name for path in tmp_path.iterdir()] == ["digits.npz"]


def test_the_policy_of_the_readme_obeys_the_laws():
    from hypothesis import given

    from aopnp.verify import LibrarySubject, Setting, laws, library_estimator, recorded, trials

    names = {"__name__": "readme"}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(blocks[0] + blocks[2], "README.md", "exec"), names)

    def make(setting: Setting) -> LibrarySubject:
        selections = []
        return LibrarySubject(
            library_estimator(setting, recorded(names["SmallestK"](), selections)), selections
        )

    @given(trials(["none", "row", "residual", "queue"]))
    def check(trial):
        laws.distinct_rows(make, *trial)
        laws.stacked_equals_alone(make, *trial)

    check()


@pytest.mark.parametrize(
    "line", re.findall(r"^    python -m (?:experiments|plots) .*", README, flags=re.MULTILINE)
)
def test_the_commands_exist_with_these_options(line, monkeypatch):
    words = shlex.split(line, comments=True)[2:]
    if words[0] == "plots":
        plots_command.parser().parse_args(words[1:])
        return
    seen = []
    adders = {
        name: (text, lambda parser, add=add: add(parser) and seen.append)
        for name, (text, add) in COMMANDS.items()
    }
    monkeypatch.setattr("experiments.__main__.COMMANDS", adders)
    with pytest.raises(
        TypeError
    ):  # the command is replaced by one that returns None instead of running
        main(words[1:])
    assert len(seen) == 1


def test_ci_runs_the_readme_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "grep -m 1 -e '-m pytest$' README.md" in script
    assert len(re.findall(r"-m pytest$", README, flags=re.MULTILINE)) == 1


def test_every_file_the_readme_names_exists():
    for name in re.findall(r"[`(]([\w./]+\.(?:py|json|png|cff))[`)]", README):
        assert (ROOT / name).exists(), name
