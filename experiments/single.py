"""`energy` and `mnist`: one configuration of the paper's experiments (arXiv 2110.09164, section 4)."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from experiments.configuration import Configuration
from experiments.options import add_configuration, add_running, chosen_configuration, chosen_running
from experiments.results import result_path
from experiments.runner import train_all
from experiments.table import table


def add_energy(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `energy`; return what runs it."""
    add_configuration(parser, "energy")
    add_running(parser)
    return lambda args: run(args, "energy")


def add_mnist(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `mnist`; return what runs it."""
    choices = ["mnist", "fashion_mnist", "kmnist"]
    parser.add_argument(
        "--dataset", choices=choices, default="mnist", help="images to classify (%(default)s)"
    )
    add_configuration(parser, "mnist")
    add_running(parser)
    return lambda args: run(args, args.dataset)


def run(args: argparse.Namespace, dataset: str) -> int:
    """Train one configuration and print its final values; return the exit code."""
    config, running = chosen_configuration(args, dataset), chosen_running(args)
    results = train_all([config], running)
    print(table(results))
    print(result_path(running.out, config))
    return report_divergence([config], results)


def report_divergence(configs: Sequence[Configuration], results: Sequence[dict[str, Any]]) -> int:
    """Say on standard error which results diverged, and where; return the exit code, 1 if there is one."""
    diverged = [
        (c, r["diverged_at"])
        for c, r in zip(configs, results, strict=True)
        if r["status"] == "diverged"
    ]
    for config, at in diverged:
        print(
            f"{config.dataset}/{config.stem()}: run {at['run']} diverged: its loss stopped being finite at step "
            f"{at['step']} of epoch {at['epoch']}; try a smaller --lr",
            file=sys.stderr,
        )
    return 1 if diverged else 0
