"""Small configurations on scikit-learn's digits, which need no data folder, and how a command ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aopnp.estimators.ledger import SPENT
from experiments.config import Config, configuration, seven
from experiments.results import result_path
from experiments.runner import Running, train_all


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def refusal(self, name: str) -> str:
        """The one sentence with which a command refused its input."""
        assert (self.code, self.err.count("\n")) == (2, 1), self
        assert self.err.startswith(f"python -m experiments {name}: "), self.err
        return self.err.removeprefix(f"python -m experiments {name}: ").rstrip()


def small(policy: str = "topk", memory: str = "row", **changes: Any) -> Config:
    return configuration("digits", policy, memory, **{"epochs": 2, "runs": 2, **changes})


def every_kind(**changes: Any) -> list[Config]:
    """The seven curves, the other memories, other K and decay: all that can be trained in lock-step."""
    common = {"epochs": 2, "runs": 2, **changes}
    others = [
        ("topk", "residual", 8, 1.0),
        ("weightedk", "queue", 8, 1.0),
        ("randk", "row", 16, 0.5),
    ]
    return [
        *seven("digits", 8, **common),
        *(
            configuration("digits", policy, memory, k=k, decay=d, **common)
            for policy, memory, k, d in others
        ),
    ]


def train(
    out: Path, configs: Sequence[Config], jobs: int = 1, *, force: bool = False
) -> list[dict[str, Any]]:
    return train_all(configs, Running(out, jobs=jobs, progress=False, force=force))


def histories(results: Sequence[dict[str, Any]]) -> list[Any]:
    return [result["history"] for result in results]


def learnt(history: dict[str, Any]) -> dict[str, Any]:
    """Losses and accuracies: what is left of a history without what it cost."""
    return {name: curves for name, curves in history.items() if name not in SPENT}


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    """What must be the same of one configuration and seed on one machine."""
    return {name: value for name, value in result.items() if name not in ("seconds", "environment")}


def files(folder: Path) -> list[str]:
    """Every file and folder below `folder`."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def expected_files(out: Path, configs: Sequence[Config]) -> list[str]:
    """What `files` finds where nothing but the results of `configs` is left."""
    paths = [result_path(out, config) for config in configs]
    return sorted(
        path.relative_to(out).as_posix() for path in {*paths, *(path.parent for path in paths)}
    )
