import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plots.products import GROUPS, PANELS

RUNS, EPOCHS = 3, 5
KEPT = {"energy": (144, (18, 9, 3)), "mnist": (64, (32, 16, 8)), "digits": (64, (8,))}
RATIOS = {
    "k": ["ratio"],
    "width": ["ratio"],
    "batch": ["ratio"],
    "replicas": ["one minibatch", "own minibatches"],
}
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
HOOKS = {"mnist": (3, 7, 11, 15), "cifar": (4, 8, 13), "alexnet": (5, 10, 14, 18, 25, 29, 32)}
"""Layer numbers of the hooks of each feedback experiment."""
FEEDBACK = tuple(f"feedback-{data}{full}" for data in HOOKS for full in ("", "-full"))
RULES = {
    **{rule: (rule, None) for rule in ("bp", "fa", "sign", "kp", "wm")},
    **{rule: (rule, "normal") for rule in ("dfa", "dkp", "fdfa", "drtp")},
    "shallow": ("shallow", None),
    "dfa-tiny": ("dfa", "tiny"),
}
"""Scheme of a feedback experiment -> rule, initial values of B."""
APPROXIMATE = "topk-row-ratio0.125"
OTHERS = (
    "gaussian", "sphere", "frame", "projection", "sign", "shared", "row_space", "anchor", "aligned", "orthogonal",
)  # fmt: skip
NAIVE: dict[str, dict[str, Any]] = {
    "backprop": {"lr": 0.1}, "backprop-lr0.00046": {}, "rademacher": {}, "rademacher-clipNone": {"clip": None},
}  # fmt: skip
FORWARD: dict[str, tuple[int, dict[str, dict[str, Any]]]] = {
    "forward": (1024, {**NAIVE, "gaussian-epochs3": {"epochs": 3}}),
    "forward-narrow": (256, {
        **NAIVE, **{strategy: {} for strategy in OTHERS}, "activity-lr0.01": {"lr": 0.01},
        "rademacher-updatecritical": {"update": "critical"},
        "rademacher-updateerror-feedback": {"update": "error-feedback"},
    }),
    "forward-vgg": (8, {**NAIVE, "gaussian": {}, "rademacher-num-dir10": {"num_dir": 10}, "activity": {}}),
    "forward-vgg16": (64, {
        **NAIVE, "gaussian-num-dir20": {"num_dir": 20}, "orthogonal-num-dir25": {"num_dir": 25},
        "orthogonal-num-dir50": {"num_dir": 50},
    }),
}  # fmt: skip
"""Experiment of forward gradients -> width, file name of each result -> where it is off m = 1, clip 1, SGD 0.00046."""
ADAM: dict[str, Any] = {"update": "adam", "lr": 0.005}
SOFT: dict[str, dict[str, Any]] = {
    f"{soft}-sgd": {"soft": soft}
    for soft in (
        "float",
        "8-bit",
        "7-bit",
        "6-bit",
        "5-bit",
        "5-bit-nearest",
        "memoryless",
        "naive",
        "bop",
        "frozen",
    )
}
BINARY: dict[str, tuple[int, dict[str, dict[str, Any]]]] = {
    "binary": (16, {**SOFT, **{f"{soft}-adam": {"soft": soft, **ADAM} for soft in ("float", "5-bit")}}),
    "binary-mlp": (256, {
        f"{soft}-{name}{end}": {"soft": soft, **update, "init": init}
        for soft in ("float", "5-bit")
        for name, update in (("sgd", {}), ("adam", ADAM))
        for end, init in (("", "uniform"), ("-initglorot", "glorot"))
    }),
    "binary-bvgg16": (64, {
        f"{soft}-adam": {"soft": soft, **ADAM} for soft in ("float", "8-bit", "5-bit", "memoryless", "naive")
    }),
}  # fmt: skip
"""Experiment of binary networks -> width, file name of each result -> where it is off SGD, back-propagation."""
COMMON = {
    "batch_size": 64,
    "epochs": EPOCHS,
    "runs": RUNS,
    "seed": 0,
    "dtype": "float32",
    "device": "cpu",
}
NO_FORM = ("sign", "orthogonal")
"""Strategies whose error has no closed form."""


def write_feedback(folder: Path, hooks: tuple[int, ...]) -> None:
    """Result files of one feedback experiment: random curves of three runs and five epochs, no angle of FDFA at first.

    All rules with exact weight gradients, and three of them with approximate ones.
    """
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True)
    exact = {scheme: (*rule, "exact", "none", None) for scheme, rule in RULES.items()}
    approximate = {
        f"{rule}-{APPROXIMATE}": (*RULES[rule], "topk", "row", 0.125)
        for rule in ("bp", "dfa", "dkp")
    }
    for scheme, (rule, b_init, policy, memory, ratio) in (exact | approximate).items():
        config = {
            "experiment": folder.name, "rule": rule, "b_init": b_init, "policy": policy, "memory": memory,
            "ratio": ratio, "batch_size": 50, "lr": 0.1 if rule == "drtp" else 0.001,
        }  # fmt: skip
        flops = (
            np.full((RUNS, EPOCHS), 4.0) if scheme == "bp" else rng.uniform(1, 4, (RUNS, EPOCHS))
        )
        angles = (
            {}
            if rule == "shallow"
            else {hook: rng.uniform(0, 89, (RUNS, EPOCHS)).tolist() for hook in hooks}
        )
        for runs in angles.values() if rule == "fdfa" else ():
            for run in runs:
                run[0] = None
        history = {
            "val_loss": rng.uniform(0.1, 2, (RUNS, EPOCHS)).tolist(),
            "val_accuracy": rng.uniform(0.5, 0.99, (RUNS, EPOCHS)).tolist(),
            "flops": flops.tolist(),
            **{f"alignment_angle/{hook}": runs for hook, runs in angles.items()},
        }
        content = {"schema": 1, "status": "finished", "config": config, "history": history}
        (folder / f"{scheme}.json").write_text(json.dumps(content))


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


def write_trained(path: Path, config: dict[str, Any], flops: float) -> None:
    """One result: random losses and accuracies of so many epochs; flops of an epoch in `flops`, twice that above."""
    rng = np.random.default_rng([4, *path.stem.encode()])
    shape = config["runs"], config["epochs"]
    history = {
        "val_loss": rng.uniform(0.1, 2, shape).tolist(),
        "val_accuracy": rng.uniform(0.5, 0.99, shape).tolist(),
        "flops": (flops * rng.uniform(1, 2, shape)).tolist()
        if "backprop" not in path.stem
        else [[4.0] * shape[1]] * 3,
    }
    content = {"schema": 1, "status": "finished", "config": config, "history": history}
    path.write_text(json.dumps(content))


def write_forward(folder: Path) -> None:
    """Result files of one experiment with forward gradients."""
    folder.mkdir(parents=True)
    width, schemes = FORWARD[folder.name]
    for stem, changes in schemes.items():
        own = {
            "strategy": stem.split("-")[0],
            "num_dir": 1,
            "clip": 1.0,
            "update": "sgd",
            "lr": 0.00046,
            "decay": 0.97,
        }
        if stem.startswith("backprop"):
            own.update(num_dir=None, clip=None)
        config = {"experiment": folder.name, **own, "width": width, **COMMON, **changes}
        write_trained(folder / f"{stem}.json", config, 6.0)


def write_binary(folder: Path) -> None:
    """Result files of one experiment with binary networks."""
    folder.mkdir(parents=True)
    width, schemes = BINARY[folder.name]
    for stem, changes in schemes.items():
        own = {
            "update": "sgd",
            "lr": 0.1,
            "init": "uniform",
            "strategy": "backprop",
            "num_dir": None,
            "clip": None,
        }
        config = {"experiment": folder.name, **own, "width": width, **COMMON, **changes}
        write_trained(folder / f"{stem}.json", config, 4.0)


def write_directions(folder: Path) -> None:
    """What `directions` measures: twelve strategies at three points in three layers, and three sizes of networks."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    strategies = {
        name: {
            "error": rng.uniform(10, 900, 3).tolist(),
            "expected_error": rng.uniform(10, 900, 3).tolist()
            if name not in NO_FORM
            else [None] * 3,
            "cosine": rng.uniform(0.01, 0.5, 3).tolist(),
            "layer_error": rng.uniform(10, 9000, (3, 3)).tolist(),
            "layer_cosine": rng.uniform(0.01, 0.5, (3, 3)).tolist(),
        }
        for name in ("rademacher", "activity", *OTHERS)
    }
    of_strategies = {
        "schema": 1, "config": {"width": 64, "num_dir": 10, "draws": 100}, "steps": [9, 99, 1599],
        "layers": ["784 x 64", "64 x 64", "64 x 10"], "sizes": [50240, 4160, 650],
        "gradient_shares": [[0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [0.2, 0.3, 0.5]], "strategies": strategies,
    }  # fmt: skip
    of_sizes = {
        "schema": 1, "config": {"widths": [16, 64, 512], "batch_size": 64, "runs": RUNS},
        "n": [13002, 55050, 669706], "error": [13400.0, 54000.0, 671000.0], "error_limit": [700.0, 2100.0, 30000.0],
        "expected_error": [13001.0, 55049.0, 669705.0],
        "forward": [[2**-8, 2**-9, 2**-8], [2**-10, 2**-10, 2**-9], [2**-13, 2**-12, 2**-13]],
        "backprop": [[1.0, 2.0, 1.0], [1.0, 1.0, 1.0], [0.5, 1.0, 0.5]],
    }  # fmt: skip
    (folder / "strategies.json").write_text(json.dumps(of_strategies))
    (folder / "scaling.json").write_text(json.dumps(of_sizes))


def stems(k: int) -> list[str]:
    memories = [
        f"{policy}-{memory}"
        for policy in ("topk", "weightedk", "randk")
        for memory in ("row", "none")
    ]
    return ["exact", *(f"{name}-k{k}" for name in memories)]


def write_products(folder: Path) -> None:
    """Result files of `products` for three K, the last of which leaves no error."""
    (folder / "products").mkdir(parents=True)
    methods = [method for _, dashes in GROUPS.values() for method in dashes]
    for family in PANELS:
        errors = {
            m: {"k": [1, 10, 100], "mean": [0.5 + i / 100, 0.2, 0.0]} for i, m in enumerate(methods)
        }
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
            history = {
                quantity: rng.uniform(0.1, 1, (RUNS, EPOCHS)).tolist() for quantity in QUANTITIES
            }
            content = {
                "schema": 1,
                "status": "finished",
                "config": {"batch_size": batch},
                "history": history,
            }
            (folder / f"{stem}.json").write_text(json.dumps(content))
    write_products(tmp_path / "results")
    for name in DEEP:
        write_deep(tmp_path / "results" / name)
    for name in FEEDBACK:
        write_feedback(tmp_path / "results" / name, HOOKS[name.split("-")[1]])
    for name in FORWARD:
        write_forward(tmp_path / "results" / name)
    for name in BINARY:
        write_binary(tmp_path / "results" / name)
    write_directions(tmp_path / "results" / "directions")
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
        np.savez(
            folder / f"{stem}.npz",
            loss=rng.uniform(1, 2, (10, 5)),
            loss_val=rng.uniform(1, 2, (10, 5)),
        )
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
