"""`feedback`: every way to send the error back in the same network, or three of them with approximate products."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aopnp.estimators.policies import POLICIES
from aopnp.nn.feedback import DIRECT
from experiments.feedback.config import (
    APPROXIMATE,
    SETUPS,
    SIZES,
    FeedbackConfig,
    combined,
    default,
    usual,
)
from experiments.feedback.rules import INITS, RULES
from experiments.feedback.table import comparison
from experiments.options import add_running, checked, chosen_device, refuse
from experiments.results import result_path
from experiments.runner import train_all
from experiments.single import report_divergence
from plots import draw

MEMORIES = ("none", "row", "residual")
"""Those that need no capacity."""
TINY = "dfa-tiny"
"""Short for --rule dfa --b-init tiny."""


def add_feedback(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `feedback`; return what runs it."""
    add = parser.add_argument
    add(
        "--data",
        choices=list(SETUPS),
        default="mnist",
        help="data and network (%(default)s); alexnet is for a GPU",
    )
    add("--rule", choices=[*RULES, TINY], help="this one only (all)")
    add(
        "--b-init",
        choices=list(INITS),
        help="with a direct --rule: initial values of B (its own on this network)",
    )
    add(
        "--combine",
        action="store_true",
        default=None,
        help="bp, dfa and dkp, each with exact and with approximate weight gradients",
    )
    words = "with --rule or --combine: which outer products hidden layers keep"
    add(
        "--policy",
        choices=["exact", *POLICIES],
        help=f"{words} (exact; combine: {APPROXIMATE['policy']})",
    )
    add("--memory", choices=MEMORIES, help=f"what happens to the others ({APPROXIMATE['memory']})")
    add(
        "--ratio",
        type=float,
        help=f"share of the outer products kept of each sum ({APPROXIMATE['ratio']:g})",
    )
    add("--batch-size", type=int, help=f"rows M of a batch ({_sizes(0)})")
    add("--epochs", type=int, help=f"passes over the training images ({_sizes(1)})")
    add("--runs", type=int, help=f"independent runs ({_sizes(2)})")
    add("--lr", type=float, help="with --rule: step size of the network (its own on this network)")
    add("--seed", type=int, help="seed of all random streams (0)")
    add("--dtype", choices=["float32", "float64"], help="floating-point type (float32)")
    add("--full", action="store_true", help="all images, more epochs and runs")
    add_running(parser)
    add("--figures", type=Path, default=Path("figures"), help="folder of the figure (%(default)s)")
    return run


def _sizes(column: int) -> str:
    """Return one column of SIZES in words."""

    def told(ending: str) -> str:
        values = {data: SIZES[f"feedback-{data}{ending}"][column] for data in SETUPS}
        if len(set(values.values())) == 1:
            return str(values["mnist"])
        return ", ".join(f"{data} {value}" for data, value in values.items())

    small, full = told(""), told("-full")
    return small if small == full else f"{small}; full: {full}"


def run(args: argparse.Namespace) -> int:
    """Train one configuration or a set of them, print how they compare, draw the set; return the exit code."""
    experiment = f"feedback-{args.data}" + "-full" * args.full
    configs = chosen(args, experiment)
    results = train_all(configs, checked(args, configs))
    print(comparison(configs, results))
    if args.rule:
        print(result_path(args.out, configs[0]))
    else:
        name = experiment + "-combine" * bool(args.combine)
        for path in draw(name, args.out, args.figures, suffix=configs[0].settings()):
            print(path)
    return report_divergence(configs, results)


def chosen(args: argparse.Namespace, experiment: str) -> list[FeedbackConfig]:
    """Return the configurations that the options name; UsageError for options that contradict each other."""
    if args.rule is None:
        refuse(args, ["b_init", "lr"], "every rule has its own; name one with --rule")
    else:
        refuse(args, ["combine"], f"--rule {args.rule} names one")
    if not (args.rule or args.combine):
        refuse(
            args,
            ["policy"],
            "all rules are compared with exact weight gradients; add --combine or name a --rule",
        )
    if args.policy == "exact" or not (args.policy or args.combine):
        refuse(args, ["memory", "ratio"], "exact weight gradients keep every outer product")
    names = ("batch_size", "epochs", "runs", "lr", "seed", "dtype")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    given["device"] = chosen_device(args.device)
    asked = {name: value for name in APPROXIMATE if (value := getattr(args, name)) is not None}
    if args.combine:
        if args.policy == "exact":
            refuse(args, ["policy"], "--combine trains with exact weight gradients anyway")
        return combined(experiment, {**APPROXIMATE, **asked}, **given)
    if args.rule is None:
        return usual(experiment, **given)
    approximate = {} if args.policy in (None, "exact") else {**APPROXIMATE, **asked}
    return [replace(_named(args, experiment), **given, **approximate)]


def _named(args: argparse.Namespace, experiment: str) -> FeedbackConfig:
    """Return the configuration of --rule with its --b-init."""
    if args.rule == TINY:
        refuse(args, ["b_init"], f"--rule {TINY} names one")
        return replace(default(experiment, "dfa"), b_init="tiny")
    if args.rule not in DIRECT:
        refuse(args, ["b_init"], f"--rule {args.rule} has no direct feedback")
    if args.rule == "shallow":
        refuse(args, ["policy"], "--rule shallow trains no hidden layer")
    config = default(experiment, args.rule)
    return config if args.b_init is None else replace(config, b_init=args.b_init)
