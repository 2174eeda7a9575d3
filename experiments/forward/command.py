"""`forward`: back-propagation and forward gradients along every kind of directions, in the same network.

Exit code: 1 where a run diverged that should not have; forward gradients without a clip are there to show that they do.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from experiments.configuration import Configuration
from experiments.forward.config import SETUPS, ForwardConfig, default
from experiments.forward.optimisers import OPTIMISERS
from experiments.forward.rules import BACKPROP, STRATEGIES
from experiments.forward.sets import ROWS, made, usual
from experiments.forward.table import comparison
from experiments.options import add_running, checked, chosen_device, refuse
from experiments.results import result_path
from experiments.runner import Running, train_all
from experiments.single import report_divergence
from plots import draw

NETWORKS = {name.removeprefix("forward-").replace("forward", "mlp"): name for name in SETUPS}
FULL = {"epochs": 50, "runs": 3}


def add_forward(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `forward`; return what runs it."""
    add = parser.add_argument
    words = "mlp and narrow, one after the other; vgg16 is for a GPU"
    add("--network", choices=list(NETWORKS), help=f"network and data ({words})")
    add("--strategy", choices=STRATEGIES, help="this one only (a set of them)")
    add(
        "--row",
        type=int,
        choices=list(ROWS),
        help="a row of the specification (rows 1 to 5: `binary`)",
    )
    add("--num-dir", type=int, help="with --strategy: directions m of a step (1)")
    add(
        "--clip",
        type=clip_option,
        metavar="CAP",
        help="with --strategy: cap of the derivatives, or none (1.0)",
    )
    add("--update", choices=list(OPTIMISERS), help="with --strategy: optimiser (sgd)")
    add(
        "--lr",
        type=float,
        help=f"with --strategy: step size ({_told('lr')}; of backprop {_told('backprop_lr')})",
    )
    add(
        "--decay",
        type=float,
        help=f"with --strategy: factor of the step size after every epoch ({_told('decay')})",
    )
    add(
        "--width",
        type=int,
        help=f"units of a hidden layer, or channels of the first ({_told('width')})",
    )
    add("--batch-size", type=int, help=f"rows M of a batch ({_told('batch_size')})")
    add(
        "--epochs",
        type=int,
        help=f"passes over the training images ({_told('epochs')}, of dear directions fewer)",
    )
    add("--runs", type=int, help=f"independent runs ({_told('runs')})")
    add_common(parser, FULL)
    return run


def _told(name: str) -> str:
    return each(
        {network: getattr(SETUPS[experiment], name) for network, experiment in NETWORKS.items()}
    )


def each(values: Mapping[str, float]) -> str:
    """Return the default of each network in words."""
    if len(set(values.values())) == 1:
        return f"{max(values.values()):g}"
    return ", ".join(f"{network} {value:g}" for network, value in values.items())


def add_common(parser: argparse.ArgumentParser, full: Mapping[str, int]) -> None:
    """Add the options that `binary` has too."""
    add = parser.add_argument
    add("--seed", type=int, help="seed of all random streams (0)")
    add("--dtype", choices=["float32", "float64"], help="floating-point type (float32)")
    add(
        "--full",
        action="store_true",
        default=None,
        help="{epochs} epochs, {runs} runs".format(**full),
    )
    add_running(parser)
    add("--figures", type=Path, default=Path("figures"), help="folder of the figures (%(default)s)")


def clip_option(text: str) -> float | str:
    """Return a cap, or the word none; what argparse calls."""
    return text if text == "none" else float(text)


def run(args: argparse.Namespace) -> int:
    """Train the configurations, print how they compare, draw the usual sets; return the exit code."""
    sets = chosen(args)
    running = checked(args, chain.from_iterable(sets))
    whole = args.strategy is None and args.row is None
    return max(_train(configs, running, args.figures if whole else None) for configs in sets)


def chosen(args: argparse.Namespace) -> list[list[ForwardConfig]]:
    """Return the sets that the options name; UsageError for options that contradict each other."""
    if args.row is not None:
        refuse(args, ["network", "strategy"], f"--row {args.row} names them")
    if args.strategy is None:
        refuse(
            args,
            ["num_dir", "clip", "update", "lr", "decay"],
            "every configuration has its own; name a --strategy",
        )
    if args.strategy == BACKPROP:
        refuse(args, ["num_dir", "clip"], "back-propagation has no directions")
    given = given_fields(args, ["num_dir", "update", "lr", "decay"], FULL)
    if args.row is not None:
        return [made(*ROWS[args.row], **given)]
    if args.strategy is not None:
        return [[replace(default(NETWORKS[args.network or "mlp"], args.strategy), **given)]]
    return [
        usual(NETWORKS[name], **given)
        for name in ([args.network] if args.network else ["mlp", "narrow"])
    ]


def given_fields(
    args: argparse.Namespace, names: Sequence[str], full: Mapping[str, int]
) -> dict[str, Any]:
    """Return the fields of a configuration that options name: `names`, and those that `binary` has too."""
    if args.full:
        refuse(args, ["epochs", "runs"], "--full names both")
    names = (*names, "width", "batch_size", "epochs", "runs", "seed", "dtype")
    given: dict[str, Any] = {
        name: value for name in names if (value := getattr(args, name)) is not None
    }
    if args.clip is not None:
        given["clip"] = None if args.clip == "none" else args.clip
    return {**given, **(full if args.full else {}), "device": chosen_device(args.device)}


def _train(configs: Sequence[ForwardConfig], running: Running, figures: Path | None) -> int:
    results = train_all(configs, running)
    print(comparison(configs, results))
    naive = next((config for config in configs if config.strategy == "rademacher"), configs[0])
    return finish(configs, results, running, figures, naive.settings())


class MayDiverge(Configuration, Protocol):
    """A configuration that says what its file is called, and whether a divergence is what it is there to show."""

    def may_diverge(self) -> bool: ...


def finish(
    configs: Sequence[MayDiverge],
    results: Sequence[dict[str, Any]],
    running: Running,
    figures: Path | None,
    suffix: str,
) -> int:
    """Draw the results that end in `suffix`, or say where they are without `figures`; return the exit code."""
    if figures is None:
        print(*(result_path(running.out, config) for config in configs), sep="\n")
    else:
        print(*draw(configs[0].dataset, running.out, figures, suffix=suffix), sep="\n")
    judged = [(c, r) for c, r in zip(configs, results, strict=True) if not c.may_diverge()]
    return report_divergence([c for c, _ in judged], [r for _, r in judged])
