"""`paper`: all 38 configurations of arXiv 2110.09164 (section 4), then its six figures."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from experiments.config import Config, UsageError, seven
from experiments.options import add_running, chosen_device, chosen_running
from experiments.runner import train_all
from experiments.single import report_divergence
from experiments.table import table
from plots import draw

FIGURES = {
    "energy": {"2a": 18, "2b": 9, "2c": 3},
    "mnist": {"3a": 32, "3b": 16, "3c": 8},
}
"""Data set -> figure -> K."""


def configurations(dataset: str, device: str = "cpu") -> list[Config]:
    """Return the 19 configurations of a data set: the baseline and six schemes for each of three K."""
    found = {
        config: None
        for k in FIGURES[dataset].values()
        for config in seven(dataset, k, device=device)
    }
    return sorted(
        found, key=lambda config: (config.policy != "exact", config.memory != "none")
    )  # like ones together


def add_paper(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `paper`; return what runs it."""
    add_running(parser)
    parser.add_argument("--only", choices=list(FIGURES), help="one of the two experiments (both)")
    parser.add_argument(
        "--figures", type=Path, default=Path("figures"), help="folder of the figures (%(default)s)"
    )
    parser.add_argument(
        "--recorded",
        type=Path,
        default=os.environ.get("AOPNP_RECORDED_DIR") or None,
        help="folder of the published runs, to draw over ($AOPNP_RECORDED_DIR)",
    )
    return run


def run(args: argparse.Namespace) -> int:
    """Train what is missing and draw the figures; return the exit code."""
    if args.recorded and not args.recorded.is_dir():
        raise UsageError(
            f"expected the folder of the published runs, got {args.recorded}; correct --recorded"
        )
    datasets = [args.only] if args.only else list(FIGURES)
    device, running = chosen_device(args.device), chosen_running(args)
    configs = [config for dataset in datasets for config in configurations(dataset, device)]
    results = train_all(configs, running)
    print(table(results))
    for dataset in datasets:
        for name in FIGURES[dataset]:
            for path in draw(name, args.out, args.figures, args.recorded, device):
                print(path)
    return report_divergence(configs, results)
