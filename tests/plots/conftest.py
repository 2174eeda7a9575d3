import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RUNS, EPOCHS = 3, 5
KEPT = {"energy": (144, (18, 9, 3)), "mnist": (64, (32, 16, 8)), "digits": (64, (8,))}
RATIOS = {"k": ["ratio"], "width": ["ratio"], "batch": ["ratio"], "replicas": ["one minibatch", "own minibatches"]}
GROWTH = {
    "schema": 1, "machine": "a machine", "versions": "some versions", "repeats": 7,
    "series": {
        series: {"x": [0.25, 0.5, 1.0], **{name: [0.3 + i, 0.6 + i, 1.5 + i] for i, name in enumerate(names)}}
        for series, names in RATIOS.items()
    },
}  # fmt: skip
QUANTITIES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")


def stems(k: int) -> list[str]:
    memories = [f"{policy}-{memory}" for policy in ("topk", "weightedk", "randk") for memory in ("row", "none")]
    return ["exact", *(f"{name}-k{k}" for name in memories)]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Result files of every figure: random histories of three runs and five epochs."""
    rng = np.random.default_rng(0)
    for dataset, (batch, ks) in KEPT.items():
        folder = tmp_path / "results" / dataset
        folder.mkdir(parents=True)
        for stem in sorted({stem for k in ks for stem in stems(k)}):
            history = {quantity: rng.uniform(0.1, 1, (RUNS, EPOCHS)).tolist() for quantity in QUANTITIES}
            content = {"schema": 1, "status": "finished", "config": {"batch_size": batch}, "history": history}
            (folder / f"{stem}.json").write_text(json.dumps(content))
    (tmp_path / "results" / "bench").mkdir()
    (tmp_path / "results" / "bench" / "growth.json").write_text(json.dumps(GROWTH))
    return tmp_path / "results"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Recorded runs of the mnist baseline and of energy's topk with memory at K = 18."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    for stem in ("mnist_baseline", "energy_topk_mem_K18"):
        rng = np.random.default_rng(1)
        np.savez(folder / f"{stem}.npz", loss=rng.uniform(1, 2, (10, 5)), loss_val=rng.uniform(1, 2, (10, 5)))
    return folder


@pytest.fixture
def rewrite(results: Path) -> Callable[[str, Callable[[dict[str, Any]], Any]], Path]:
    """Change the content of one result file in place; returns its path."""

    def change(name: str, edit: Callable[[dict[str, Any]], Any]) -> Path:
        path = results / name
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))
        return path

    return change
