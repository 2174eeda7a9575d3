"""`check`: the agreement with the published curves of arXiv 2110.09164, in full; exit code 1 on disagreement.

The published configurations are trained again, in result files of their own below <out>/check, and compared with
the summary statistics of the published runs (experiments/published.json).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.agreement import (
    ENERGY_CURVE_LIMIT,
    ENERGY_FINAL_LIMIT,
    ENERGY_FINALS_RMS_LIMIT,
    EPOCHS,
    MNIST_FINAL_LIMIT,
    RECORDED_K,
    Agreement,
    compare,
    report,
    root_mean_square,
)
from experiments.config import Config, seven
from experiments.options import add_running, chosen_device, chosen_running
from experiments.runner import Running, train_all

BEST_BASELINE = {"train_loss": (1.565, 1.575), "val_accuracy": (0.911, 0.918)}
"""Where the best of the 10 published baseline runs on MNIST ends: quantity -> (least, most)."""


def add_check(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `check`; return what runs it."""
    add_running(parser)
    parser.add_argument(
        "--only", choices=list(RECORDED_K), help="one of the two experiments (both)"
    )
    return run


def run(args: argparse.Namespace) -> int:
    """Train, compare, print every z; return the exit code."""
    device, running = chosen_device(args.device), chosen_running(args)
    checks = {"energy": check_energy, "mnist": check_mnist}
    failures = sum(checks[name](running, device) for name in ([args.only] if args.only else checks))
    print(
        "agrees with the published results" if not failures else f"{failures} comparisons DISAGREE"
    )
    return 1 if failures else 0


def check_energy(running: Running, device: str = "cpu") -> int:
    """Compare 20 runs of each of the 13 energy configurations; print the z values, return how many disagree."""
    results = train_published("energy", running, runs=20, device=device)
    rows = _compare("energy", results, EPOCHS["energy"], ENERGY_FINAL_LIMIT, ENERGY_CURVE_LIMIT)
    rms = root_mean_square([row for row in rows if row.epoch == EPOCHS["energy"][-1]])
    print(report(rows))
    print(f"root mean square of the final z: {rms:.2f} (limit {ENERGY_FINALS_RMS_LIMIT})")
    return sum(not row.agrees for row in rows) + (not rms <= ENERGY_FINALS_RMS_LIMIT)


def check_mnist(running: Running, device: str = "cpu") -> int:
    """Compare 10 runs of each of the 13 mnist configurations; print the z values, return how many disagree."""
    results, last = train_published("mnist", running, device=device), EPOCHS["mnist"][-1:]
    rows = _compare("mnist", results, last, MNIST_FINAL_LIMIT, MNIST_FINAL_LIMIT)
    print(report(rows))
    return sum(not row.agrees for row in rows) + _check_best_baseline(
        dict(results)["exact"]["history"]
    )


def _compare(
    dataset: str,
    results: Sequence[tuple[str, dict[str, Any]]],
    epochs: Sequence[int],
    final: float,
    curve: float,
) -> list[Agreement]:
    rows: list[Agreement] = []
    for name, result in results:
        rows += compare(
            dataset, name, result["history"], epochs=epochs, final_limit=final, curve_limit=curve
        )
    return rows


def train_published(
    dataset: str, running: Running, **changes: Any
) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, result) of each configuration that has a published record, trained with `changes` applied."""
    configs = published_configurations(dataset)
    changed = [replace(config, **changes) for config in configs]
    results = train_all(changed, replace(running, out=running.out / "check"))
    return list(zip((config.stem() for config in configs), results, strict=True))


def published_configurations(dataset: str) -> list[Config]:
    """Return the 13 default configurations that have a published record, like ones together."""
    found = dict.fromkeys(config for k in RECORDED_K[dataset] for config in seven(dataset, k))
    return sorted(found, key=lambda config: (config.policy != "exact", config.memory != "none"))


def _check_best_baseline(history: dict[str, list[list[float | None]]]) -> int:
    finals = {
        name: np.array([run[-1] for run in history[name]], dtype=float) for name in BEST_BASELINE
    }
    best = int(np.nanargmin(finals["train_loss"]))
    failures = 0
    for name, (least, most) in BEST_BASELINE.items():
        value = finals[name][best]
        failures += not least <= value <= most
        verdict = "" if least <= value <= most else "  DISAGREES"
        print(
            f"best of {len(finals[name])} baseline runs: {name} {value:.4f}, published {least} to {most}{verdict}"
        )
    return failures
