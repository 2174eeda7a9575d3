"""`binary`: networks of signs, with soft weights as real numbers, in few bits, or without any.

Exit code: 1 where a run diverged that should not have; forward gradients without a clip are there to show that they do.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from experiments.binary.config import INITS, LR, NUM_DIR, SETUPS, BinaryConfig, default
from experiments.binary.sets import ROWS, SETS, made
from experiments.binary.soft import STORAGES, UPDATES
from experiments.binary.table import comparison
from experiments.forward.command import add_common, clip_option, each, finish, given_fields
from experiments.forward.rules import BACKPROP, STRATEGIES
from experiments.options import checked, refuse
from experiments.runner import Running, train_all

NETWORKS = {"bcnn": "binary", "mlp": "binary-mlp", "bvgg16": "binary-bvgg16"}
FULL = {"epochs": 10, "runs": 5}


def add_binary(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `binary`; return what runs it."""
    add = parser.add_argument
    words = "bcnn and mlp, one after the other; bvgg16 is for a GPU"
    add("--network", choices=list(NETWORKS), help=f"network and data ({words})")
    add(
        "--soft",
        choices=list(STORAGES),
        help="how soft weights are held: this one only (a set of them)",
    )
    add(
        "--row",
        type=int,
        choices=list(ROWS),
        help="a row of the specification (rows 6 to 8: `forward`)",
    )
    add("--update", choices=list(UPDATES), help="with --soft: optimiser (sgd)")
    rates = ", ".join(f"{name} {lr:g}" for name, lr in LR.items())
    add("--lr", type=float, help=f"with --soft: step size ({rates})")
    add("--init", choices=list(INITS), help="with --soft: initial soft weights (uniform)")
    add(
        "--strategy", choices=STRATEGIES, help=f"with --soft: what fills the gradients ({BACKPROP})"
    )
    add("--num-dir", type=int, help=f"with --strategy: directions m of a step ({NUM_DIR})")
    add(
        "--clip",
        type=clip_option,
        metavar="CAP",
        help="with --strategy: cap of the derivatives, or none (1.0)",
    )
    add(
        "--width",
        type=int,
        help=f"channels of the first layer, or units of a hidden one ({_told('width')})",
    )
    add("--batch-size", type=int, help=f"rows M of a batch ({_told('batch_size')})")
    add("--epochs", type=int, help=f"passes over the training images ({_told('epochs')})")
    add("--runs", type=int, help=f"independent runs ({_told('runs')})")
    add_common(parser, FULL)
    return run


def _told(name: str) -> str:
    return each(
        {network: getattr(SETUPS[experiment], name) for network, experiment in NETWORKS.items()}
    )


def run(args: argparse.Namespace) -> int:
    """Train the configurations, print how they compare, draw the usual sets; return the exit code."""
    sets = chosen(args)
    running = checked(args, chain.from_iterable(sets))
    whole = args.soft is None and args.row is None
    return max(_train(configs, running, args.figures if whole else None) for configs in sets)


def chosen(args: argparse.Namespace) -> list[list[BinaryConfig]]:
    """Return the sets that the options name; UsageError for options that contradict each other."""
    if args.row is not None:
        refuse(args, ["network", "soft"], f"--row {args.row} names them")
    if args.soft is None:
        refuse(
            args,
            ["update", "lr", "init", "strategy"],
            "every configuration has its own; name a --soft",
        )
    if args.strategy in (None, BACKPROP):
        refuse(args, ["num_dir", "clip"], "back-propagation has no directions")
    given = given_fields(args, ["lr", "init", "num_dir"], FULL)
    if args.row is not None:
        experiment, schemes = ROWS[args.row]
        return [made(experiment, schemes, given)]
    if args.soft is not None:
        named = default(
            NETWORKS[args.network or "bcnn"],
            args.soft,
            args.update or "sgd",
            args.strategy or BACKPROP,
        )
        return [[replace(named, **given)]]
    experiments = [NETWORKS[name] for name in ([args.network] if args.network else ["bcnn", "mlp"])]
    return [made(experiment, SETS[experiment], given) for experiment in experiments]


def _train(configs: Sequence[BinaryConfig], running: Running, figures: Path | None) -> int:
    results = train_all(configs, running)
    print(comparison(configs, results))
    return finish(configs, results, running, figures, configs[0].settings())
