"""`directions`: how good forward gradients are, beside what theory says, and how they fare in larger networks."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aopnp.training.directions import DIRECTIONS
from experiments.config import UsageError
from experiments.forward.diagnose import POINTS, diagnose
from experiments.forward.networks import mlp
from experiments.forward.rules import check_room
from experiments.forward.scaling import scaling
from experiments.measured import measured
from experiments.training import load
from plots import draw

BATCH = 64
WIDTHS = (16, 32, 64, 128, 256, 512)
RUNS = 3


def add_directions(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `directions`; return what runs it."""
    add = parser.add_argument
    add(
        "--width",
        type=int,
        default=64,
        help="units of the hidden layers, of every strategy (%(default)s)",
    )
    add("--num-dir", type=int, default=10, help="directions m of an estimate (%(default)s)")
    add(
        "--draws",
        type=int,
        default=100,
        help="estimates of every strategy at every point (%(default)s)",
    )
    add(
        "--points",
        type=int,
        nargs="+",
        metavar="STEP",
        default=list(POINTS),
        help="training steps (%(default)s)",
    )
    add(
        "--widths",
        type=int,
        nargs="+",
        metavar="WIDTH",
        default=list(WIDTHS),
        help="of the scaling (%(default)s)",
    )
    add("--seed", type=int, default=0, help="seed of all random streams (%(default)s)")
    add(
        "--data-dir",
        help="folder of the data sets ($AOPNP_DATA_DIR, else the user's cache directory)",
    )
    add(
        "--out", type=Path, default=Path("results"), help="folder of the result files (%(default)s)"
    )
    add("--figures", type=Path, default=Path("figures"), help="folder of the figures (%(default)s)")
    add("--force", action="store_true", help="measure again although a result exists")
    return run


def run(args: argparse.Namespace) -> int:
    """Measure what is missing, draw both figures; return the exit code."""
    for name, values in {
        "width": [args.width],
        "widths": args.widths,
        "num-dir": [args.num_dir],
    }.items():
        _at_least(name, min(values), 1)
    for name, value, least in (
        ("draws", args.draws, 2),
        ("points", min(args.points), 0),
        ("seed", args.seed, 0),
    ):
        _at_least(name, value, least)
    try:
        check_room(mlp(args.width), args.num_dir, DIRECTIONS)
    except ValueError as error:
        raise UsageError(str(error)) from error
    data = load("forward", args.data_dir, BATCH, "float32")
    common = {"batch_size": BATCH, "seed": args.seed}
    points = sorted({*args.points})
    of_strategies = {
        "width": args.width,
        "num_dir": args.num_dir,
        "points": points,
        "draws": args.draws,
        **common,
    }
    of_sizes = {"widths": sorted({*args.widths}), "runs": RUNS, **common}
    for name, function, options in (
        ("strategies", diagnose, of_strategies),
        ("scaling", scaling, of_sizes),
    ):
        config: dict[str, Any] = {"experiment": "directions", **options}
        # The products are small, and a layer whose units are all dead has no error: it is null in the file.
        with threadpool_limits(1), np.errstate(divide="ignore", invalid="ignore"):
            measured(
                args.out / "directions" / f"{name}.json",
                config,
                partial(function, data, **options),
                args.force,
            )
    for name in ("directions", "scaling"):
        print(*draw(name, args.out, args.figures), sep="\n")
    return 0


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"expected --{name} of at least {least}, got {value}")
