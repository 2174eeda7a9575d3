"""The command line: `python -m experiments <command>`.

Exit codes: 0 done, 1 a run diverged or a check failed, 2 wrong use or missing data, 130 interrupted.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial

from aopnp.data import DataError
from experiments.bench import add_bench
from experiments.binary.command import add_binary
from experiments.check import add_check
from experiments.config import UsageError
from experiments.deep.command import add_deep
from experiments.feedback.command import add_feedback
from experiments.forward.command import add_forward
from experiments.forward.directions import add_directions
from experiments.info import add_info
from experiments.paper import add_paper
from experiments.products import add_products
from experiments.quickstart import add_quickstart
from experiments.single import add_energy, add_mnist
from plots import PlotError

Command = Callable[[argparse.Namespace], int]

COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], Command]]] = {
    "quickstart": (
        "the seven curves on scikit-learn's digits: table and figure, under a minute",
        add_quickstart,
    ),
    "energy": ("one configuration of the paper's regression experiment", add_energy),
    "mnist": ("one configuration of the paper's classification experiment", add_mnist),
    "paper": ("all 38 configurations of the paper, 10 runs each, then the six figures", add_paper),
    "products": ("the error of every sampling policy against K on random matrices", add_products),
    "mlp": (
        "approximate products on MNIST: three dense layers",
        partial(add_deep, experiment="mlp"),
    ),
    "cnn": (
        "approximate products on MNIST: two convolutions, two dense layers",
        partial(add_deep, experiment="cnn"),
    ),
    "cifar": (
        "approximate products on CIFAR-10: a residual network",
        partial(add_deep, experiment="cifar"),
    ),
    "feedback": (
        "feedback alignment, direct or not, beside back-propagation: MNIST, CIFAR-10",
        add_feedback,
    ),
    "forward": (
        "forward gradients, without a backward pass, beside back-propagation: MNIST, CIFAR-10",
        add_forward,
    ),
    "directions": (
        "how good forward gradients are, measured beside closed forms, and against size",
        add_directions,
    ),
    "binary": (
        "binary networks, their soft weights in few bits or none: MNIST, CIFAR-10",
        add_binary,
    ),
    "check": ("the agreement with the published curves, z values printed", add_check),
    "bench": ("benchmarks as ratios measured in one run", add_bench),
    "info": ("versions, array backends, where data and results lie", add_info),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. What is wrong with its input is a sentence, never a traceback."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description="Experiments with Mem-AOP-GD."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (line, add) in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        command.set_defaults(run=add(command))
    args = parser.parse_args(arguments)
    try:
        return int(args.run(args))
    except (UsageError, DataError, PlotError) as error:
        print(f"{parser.prog} {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "interrupted: finished runs are kept, the same command continues with the others",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the command as Ctrl-C does
    sys.exit(main())
