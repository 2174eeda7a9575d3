"""`mlp`, `cnn` and `cifar`: the experiments of Adelman et al. (arXiv 1805.08079, section 5), made small or in full."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from aopnp.estimators.policies import POLICIES
from experiments.deep.config import DEFAULTS, SEAMS, Deep, every_policy, exact, in_order, usual
from experiments.deep.table import comparison
from experiments.options import add_running, checked, chosen_device, refuse
from experiments.results import result_path
from experiments.runner import train_all
from experiments.single import report_divergence
from plots import draw

MEMORIES = ("none", "row", "residual")
"""Those that need no capacity."""


def add_deep(
    parser: argparse.ArgumentParser, experiment: str
) -> Callable[[argparse.Namespace], int]:
    """Add the options of one experiment; return what runs it."""
    _add_configuration(parser, DEFAULTS[experiment], DEFAULTS[f"{experiment}-full"])
    add_running(parser)
    parser.add_argument(
        "--figures", type=Path, default=Path("figures"), help="folder of the figure (%(default)s)"
    )
    return partial(run, experiment=experiment)


def _add_configuration(parser: argparse.ArgumentParser, small: Deep, full: Deep) -> None:
    add = parser.add_argument
    add(
        "--policy",
        choices=["exact", *POLICIES],
        help="this one only (exact, bernoulli, and topk twice)",
    )
    add(
        "--memory",
        choices=MEMORIES,
        help="with --policy: what happens to what it leaves out of weight (none)",
    )

    def number(name: str, kind: type, words: str) -> None:
        values = [getattr(default, name) for default in (small, full)]
        told = f"{values[0]}; full: {values[1]}" if len(set(values)) > 1 else str(values[0])
        add(f"--{name.replace('_', '-')}", type=kind, help=f"{words} ({told})")

    number("ratio", float, "share of the outer products kept of each sum")
    number("minimal_k", int, "outer products kept at least, of each sum")
    number("where", str, f"products estimated, among {', '.join(SEAMS)}, separated by commas")
    add(
        "--watch",
        action="store_true",
        default=None,
        help="record how far each layer's weight gradient is off",
    )
    number("batch_size", int, "rows M of a batch")
    number("epochs", int, "passes over the training images")
    number("runs", int, "independent runs")
    number("lr", float, "step size")
    number("seed", int, "seed of all random streams")
    add("--dtype", choices=["float32", "float64"], help=f"floating-point type ({small.dtype})")
    add(
        "--all",
        action="store_true",
        default=None,
        help="every policy, not the usual four configurations only",
    )
    add("--full", action="store_true", help="the published network, data and epochs")


def run(args: argparse.Namespace, experiment: str) -> int:
    """Train one configuration or a set of them, print how they compare, draw the set; return the exit code."""
    configs = chosen(args, DEFAULTS[f"{experiment}-full" if args.full else experiment])
    results = train_all(configs, checked(args, configs))
    print(comparison(results))
    if args.policy:
        print(result_path(args.out, configs[0]))
    else:
        for path in draw(
            configs[0].experiment, args.out, args.figures, suffix=configs[0].settings()
        ):
            print(path)
    return report_divergence(configs, results)


def chosen(args: argparse.Namespace, default: Deep) -> list[Deep]:
    """Return the configurations that the options name; UsageError for options that contradict each other."""
    if args.policy == "exact":
        refuse(
            args,
            ["memory", "ratio", "minimal_k", "where", "watch"],
            "the exact gradient keeps every outer product",
        )
    if args.policy is None:
        refuse(
            args, ["memory"], "without --policy configurations with and without memory are trained"
        )
    else:
        refuse(args, ["all"], f"--policy {args.policy} names one")
    names = (
        "ratio",
        "minimal_k",
        "watch",
        "batch_size",
        "epochs",
        "runs",
        "lr",
        "seed",
        "dtype",
        "memory",
    )
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    where = default.where if args.where is None else in_order(args.where)
    base = replace(default, where=where, device=chosen_device(args.device), **given)
    if args.policy is None:
        return every_policy(base) if args.all else usual(base)
    return [exact(base) if args.policy == "exact" else replace(base, policy=args.policy)]
