"""Reading what figures are drawn from: result files (schema 1) and the recorded runs of the paper."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SCHEMA = 1
RECORDED_NAMES = {"train_loss": "loss", "val_loss": "loss_val"}


class PlotError(ValueError):
    """A figure cannot be drawn: one sentence with what was expected, what came and the cure."""


@dataclass(frozen=True)
class Method:
    """One curve of a figure: a policy with memory ("row"), without ("none"), or the exact baseline (None)."""

    policy: str
    memory: str | None = None

    def stem(self, k: int) -> str:
        """Name of the result file without its ending."""
        return self.policy if self.memory is None else f"{self.policy}-{self.memory}-k{k}"

    def recorded_stem(self, k: int) -> str:
        """Name of the recorded runs without data set and ending."""
        if self.memory is None:
            return "baseline"
        return f"{self.policy}_{'mem' if self.memory == 'row' else 'nomem'}_K{k}"


POLICIES = ("topk", "weightedk", "randk")
METHODS = (
    Method("exact"),
    *(Method(policy, memory) for policy in POLICIES for memory in ("row", "none")),
)


@dataclass(frozen=True)
class Result:
    """One result file: history quantity -> [runs, epochs], NaN where a value was null or not reached."""

    path: Path
    config: dict[str, Any]
    history: dict[str, Array]
    diverged: bool

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return int(self.config["batch_size"])

    @property
    def lost(self) -> int:
        """The first epoch after which the validation loss of a run is not finite."""
        return int(np.isfinite(self.runs_of("val_loss")).all(0).argmin()) + 1

    def runs_of(self, quantity: str) -> Array:
        """The curves [runs, epochs] of one quantity; PlotError where the file has none."""
        if quantity not in self.history:
            raise PlotError(
                f"expected {quantity} in the history of {self.path}, got {sorted(self.history)}"
            )
        return self.history[quantity]


def read_all(folder: Path, k: int, experiment: str, device: str) -> dict[Method, Result]:
    """The seven results of one figure, trained on `device`; `experiment` is what makes a missing file."""
    off_default = "" if device == "cpu" else f"-device{device}"
    command = f"python -m experiments {experiment} --device {device}"
    return {
        method: read(folder / f"{method.stem(k)}{off_default}.json", command) for method in METHODS
    }


def read(path: Path, command: str) -> Result:
    """Read one result file; PlotError where it is missing, damaged or of another schema."""
    content = read_json(path, command)
    try:
        return _result(path, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlotError(
            f"expected a complete result in {path}, got {error!r}: {command} makes it"
        ) from error


def read_json(path: Path, command: str) -> dict[str, Any]:
    """Read what `command` wrote; PlotError where it is missing, no JSON or of another schema."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PlotError(
            f"expected the result file {path}, got no such file: {command} makes it"
        ) from error
    except (OSError, ValueError) as error:
        raise PlotError(
            f"expected a JSON result file in {path}, got {error}: {command} makes it"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        schema = content.get("schema") if isinstance(content, dict) else None
        raise PlotError(f"expected schema {SCHEMA} in {path}, got {schema!r}: {command} makes it")
    return content


def _result(path: Path, content: dict[str, Any]) -> Result:
    if content["status"] not in ("finished", "diverged"):
        raise ValueError(f"status {content['status']!r}")
    history = {quantity: _curves(runs) for quantity, runs in content["history"].items()}
    int(content["config"]["batch_size"])  # every configuration has one
    return Result(path, content["config"], history, content["status"] == "diverged")


def _curves(runs: list[list[float | None]]) -> Array:
    """Lists of possibly unequal length -> [runs, epochs] with NaN for what is null or missing."""
    if not runs or not all(runs):
        raise ValueError("a history without runs or epochs")
    curves = np.full((len(runs), max(len(run) for run in runs)), np.nan)
    for curve, run in zip(curves, runs, strict=True):
        curve[: len(run)] = np.array(run, dtype=np.float64)
    return curves


def read_recorded(folder: Path, dataset: str, k: int, quantity: str) -> dict[Method, Array]:
    """The published curves [10, epochs] of those methods that have a record."""
    if not folder.is_dir():
        raise PlotError(
            f"expected the folder of the published runs, got {folder}: correct --recorded"
        )
    paths = {method: folder / f"{dataset}_{method.recorded_stem(k)}.npz" for method in METHODS}
    return {
        method: _recorded_curves(path, quantity) for method, path in paths.items() if path.is_file()
    }


def _recorded_curves(path: Path, quantity: str) -> Array:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return np.asarray(arrays[RECORDED_NAMES[quantity]], dtype=np.float64)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise PlotError(
            f"expected the published runs in {path}, got {error}: copy them again"
        ) from error
