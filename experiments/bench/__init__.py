"""`bench`: ratios measured in one run, opponents interleaved, medians; never part of the tests.

    bench cpu       outer-product steps against exact ones, the paper's grids, start and memory, each with its aim
    bench gpu       accumulate + norms against a device copy, selection, the whole AOP step against the exact product,
                    one epoch of the paper's mnist grid with all configurations and runs in one stack
    bench growth    how the cost of a step grows with K/M, width, batch and replicas, for `python -m plots`

Figures of record stand in experiments/BENCHMARKS.md, with the machine they were measured on.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from aopnp.arrays.backend import probe
from experiments.bench.cpu import HEADING, ROWS, WITHOUT_PAPER
from experiments.bench.gpu import gpu_figures
from experiments.bench.growth import write_growth
from experiments.bench.machine import machine, versions
from experiments.config import UsageError


def add_bench(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `bench`; return what runs it."""
    add = parser.add_argument
    add(
        "what",
        nargs="?",
        choices=list(COMMANDS),
        default="cpu",
        help="what to measure (%(default)s)",
    )
    add(
        "--data-dir",
        help="folder of the data sets ($AOPNP_DATA_DIR, else the user's cache directory)",
    )
    add("--repeats", type=int, default=20, help="measurements of each figure (%(default)s)")
    add(
        "--out",
        type=Path,
        default=Path("results"),
        help="folder of what `growth` writes (%(default)s)",
    )
    add(
        "--only",
        choices=list(ROWS),
        metavar="ROW",
        help=f"of `cpu`, one among {', '.join(ROWS)} (all but paper)",
    )
    return run


def run(args: argparse.Namespace) -> int:
    """Measure and print; return the exit code."""
    if args.repeats < 1:
        raise UsageError(
            f"expected --repeats of at least 1, got {args.repeats}; 20 make a steady median"
        )
    if args.only and args.what != "cpu":
        raise UsageError(
            f"expected no --only with bench {args.what}, got --only {args.only}; it picks a row of cpu"
        )
    return COMMANDS[args.what](args)


def bench_cpu(args: argparse.Namespace) -> int:
    """Print a table in Markdown, row by row."""
    print(f"{machine()}; {versions()}; medians of {args.repeats}\n\n{HEADING}", flush=True)
    for name in [args.only] if args.only else WITHOUT_PAPER:
        for row in ROWS[name](args.repeats, args.data_dir):
            print(row, flush=True)
    return 0


def bench_gpu(args: argparse.Namespace) -> int:
    """Print a table in Markdown, row by row."""
    works, reason = probe("gpu")
    if not works:
        raise UsageError(
            f"expected a working GPU to measure on, got none: {reason}; run this on a machine with one"
        )
    print(f"{reason}, medians of {args.repeats}\n\n| what | size | figure |\n|---|---|---|")
    for what, size, figure in gpu_figures("gpu", args.repeats, args.data_dir):
        print(f"| {what} | {size} | {figure} |", flush=True)
    return 0


def bench_growth(args: argparse.Namespace) -> int:
    """Print a table in Markdown, row by row, and write <out>/bench/growth.json."""
    print(
        f"{machine()}; {versions()}; medians of {args.repeats}\n\n| what | size | ratio |\n|---|---|---|",
        flush=True,
    )
    print(write_growth(args.out, args.repeats))
    return 0


COMMANDS = {"cpu": bench_cpu, "gpu": bench_gpu, "growth": bench_growth}
