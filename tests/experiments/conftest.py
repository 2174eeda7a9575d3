import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.__main__ import main
from experiments.config import DEFAULTS, Config
from experiments.training import Member, load, train_stack
from tests.experiments.small import Ended


@pytest.fixture(autouse=True)
def _nothing_loaded() -> None:
    """Data sets are kept by folder, and tests change what lies there."""
    load.cache_clear()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def command(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command in this process, in one job, with its files below the test's own folder."""
    own: dict[str, list[str]] = {
        "quickstart": ["--figures", str(tmp_path / "figures")],
        "paper": ["--figures", str(tmp_path / "figures")],
    }

    def run(name: str, *words: object) -> Ended:
        where = (
            [] if name in ("info", "bench", "directions") else ["--jobs", "1", "--device", "cpu"]
        )
        capsys.readouterr()
        try:
            code = main([name, *where, "--out", str(out), *own.get(name, []), *map(str, words)])
        except SystemExit as end:
            code = int(end.code or 0)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Change the defaults of a data set: fewer runs and epochs under the names of the full result files."""

    def change(dataset: str, **changes: Any) -> Config:
        monkeypatch.setitem(DEFAULTS, dataset, replace(DEFAULTS[dataset], **changes))
        return DEFAULTS[dataset]

    return change


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Name and run of every configuration that is trained in this process from now on."""
    seen: list[tuple[str, int]] = []

    def noted(members: list[Member], data_dir: str | None) -> list[dict[str, Any]]:
        seen.extend((config.stem(), run) for config, run in members)
        return train_stack(members, data_dir)

    monkeypatch.setattr("experiments.runner.train_stack", noted)
    return seen


@pytest.fixture(scope="session")
def energy_dir() -> str:
    return _folder_with("energy_efficiency/ENB2012.csv")


@pytest.fixture(scope="session")
def mnist_dir() -> str:
    return _folder_with("mnist/train-images-idx3-ubyte.gz")


def _folder_with(name: str) -> str:
    folder = os.environ.get("AOPNP_DATA_DIR", "")
    if not folder or not Path(folder, name).is_file():
        pytest.skip(f"needs {name} in the folder that AOPNP_DATA_DIR names")
    return folder
