"""`quickstart`: the paper's seven schemes on scikit-learn's digits, offline, in under a minute."""

import argparse
from collections.abc import Callable
from pathlib import Path

from experiments.config import DEFAULTS, seven
from experiments.options import add_running, chosen_device, chosen_running
from experiments.runner import train_all
from experiments.single import report_divergence
from experiments.table import table
from plots import draw


def add_quickstart(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `quickstart`; return what runs it."""
    add_running(parser, data=False)
    parser.add_argument(
        "--figures", type=Path, default=Path("figures"), help="folder of the figure (%(default)s)"
    )
    return run


def run(args: argparse.Namespace) -> int:
    """Train the seven schemes, print the table and draw the figure; return the exit code."""
    default = DEFAULTS["digits"]
    assert default.k is not None
    device = chosen_device(args.device)
    configs = seven("digits", default.k, device=device)
    print(
        f"digits: {default.runs} runs of {default.epochs} epochs; each step keeps K = {default.k} of the "
        f"M = {default.batch_size} outer products that make up a weight gradient"
    )
    results = train_all(configs, chosen_running(args))
    print(table(results))
    for path in draw("quickstart", args.out, args.figures, device=device):
        print(path)
    return report_divergence(configs, results)
