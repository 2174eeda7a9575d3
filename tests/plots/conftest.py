import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plots.products import GROUPS, PANELS

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
DEEP = ("mlp", "mlp-full", "cnn", "cnn-full", "cifar", "cifar-full")
SCHEMES = {
    "exact": ("exact", "none", None, ""),
    "bernoulli-none-ratio0.5": ("bernoulli", "none", 0.5, "weight"),
    "topk-none-ratio0.5": ("topk", "none", 0.5, "weight"),
    "topk-row-ratio0.5": ("topk", "row", 0.5, "weight"),
    "topk-none-ratio0.25-whereforward": ("topk", "none", 0.25, "forward"),
}
"""File name -> policy, memory, ratio, products of a deep experiment's results."""


def write_deep(folder: Path) -> None:
    """Result files of one deep experiment: random errors and flops of three runs and five epochs."""
    rng = np.random.default_rng(2)
    folder.mkdir(parents=True)
    for stem, (policy, memory, ratio, where) in SCHEMES.items():
        config = {
            "policy": policy, "memory": memory, "ratio": ratio, "minimal_k": 10, "where": where, "watch": False,
            "batch_size": 50, "epochs": EPOCHS, "runs": RUNS, "lr": 0.01,
        }  # fmt: skip
        flops = np.full((RUNS, EPOCHS), 4.0)
        history = {
            "val_loss": rng.uniform(0.1, 2, (RUNS, EPOCHS)).tolist(),
            "val_accuracy": rng.uniform(0.5, 0.99, (RUNS, EPOCHS)).tolist(),
            "flops": (flops if policy == "exact" else rng.uniform(1, 4, flops.shape)).tolist(),
            "exact_flops": flops.tolist(),
        }
        content = {"schema": 1, "status": "finished", "config": config, "history": history}
        (folder / f"{stem}.json").write_text(json.dumps(content))


def stems(k: int) -> list[str]:
    memories = [f"{policy}-{memory}" for policy in ("topk", "weightedk", "randk") for memory in ("row", "none")]
    return ["exact", *(f"{name}-k{k}" for name in memories)]


def write_products(folder: Path) -> None:
    """Result files of `products` for three K, the last of which leaves no error."""
    (folder / "products").mkdir(parents=True)
    methods = [method for _, dashes in GROUPS.values() for method in dashes]
    for family in PANELS:
        errors = {m: {"k": [1, 10, 100], "mean": [0.5 + i / 100, 0.2, 0.0]} for i, m in enumerate(methods)}
        content = {"schema": 1, "config": {"size": 100, "repeats": 7}, "errors": errors}
        (folder / "products" / f"{family}.json").write_text(json.dumps(content))


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
    write_products(tmp_path / "results")
    for name in DEEP:
        write_deep(tmp_path / "results" / name)
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
