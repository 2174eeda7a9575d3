"""`products`: the error of every policy against K on random matrices; exit code 1 off the published values.

The published values are means over repeats of the normalised error (notebook of arXiv 1805.08079, sizes of 100).
The 1000 repeats of the default take half a minute; the standard error of an entry is then below 1 % of it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.config import UsageError
from experiments.measured import measured
from experiments.product_errors import FAMILIES, errors, summary
from plots import draw

KS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100)
LIMIT = 0.05
"""The largest relative deviation from a published value; these have two or three digits."""

SIZE = 100
PUBLISHED_K = (10, 50, 90)
PUBLISHED = {
    "mean1": {
        "topk": (0.447, 0.235, 0.047),
        "crs": (0.270, 0.121, 0.090),
        "bernoulli_clipped": (0.295, 0.098, 0.032),
        "bernoulli_reference": (0.306, 0.110, 0.047),
        "uniform": (0.260, 0.086, 0.029),
        "bernoulli": (0.291, 0.098, 0.031),
    },
    "mean0": {
        "topk": (0.093, 0.065, 0.026),
        "crs": (0.312, 0.140, 0.104),
        "bernoulli_clipped": (0.298, 0.099, 0.033),
        "bernoulli_reference": (0.310, 0.109, 0.048),
        "uniform": (0.301, 0.100, 0.033),
        "bernoulli": (0.296, 0.099, 0.032),
    },
}
"""Family -> policy -> its error at each of PUBLISHED_K."""


def add_products(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `products`; return what runs it."""
    add = parser.add_argument
    add("--size", type=int, default=SIZE, help="rows and columns of the matrices (%(default)s)")
    add("--repeats", type=int, default=1000, help="pairs of matrices of each family (%(default)s)")
    add(
        "--ks",
        type=int,
        nargs="+",
        metavar="K",
        help="outer products kept (15 numbers and the size)",
    )
    add("--seed", type=int, default=0, help="seed of matrices and noise (%(default)s)")
    add(
        "--out", type=Path, default=Path("results"), help="folder of the result files (%(default)s)"
    )
    add("--figures", type=Path, default=Path("figures"), help="folder of the figure (%(default)s)")
    add(
        "--no-progress", action="store_true", help="no progress bar (there is none in a log anyway)"
    )
    add("--force", action="store_true", help="measure again although a result exists")
    return run


def run(args: argparse.Namespace) -> int:
    """Measure what is missing, print the comparison, draw the figure; return the exit code."""
    ks = sorted({*(args.ks or [k for k in KS if k < args.size] + [args.size])})
    _check(args, ks)
    print(f"{args.repeats} products of two {args.size} x {args.size} matrices of each family")
    results = {family: _result(args, family, ks) for family in FAMILIES}
    lines, failures = compare(results)
    print("\n".join(lines))
    for path in draw("products", args.out, args.figures):
        print(path)
    return 1 if failures else 0


def _check(args: argparse.Namespace, ks: Sequence[int]) -> None:
    for name, least in {"size": 1, "repeats": 1, "seed": 0}.items():
        if getattr(args, name) < least:
            raise UsageError(f"expected --{name} of at least {least}, got {getattr(args, name)}")
    if not 1 <= ks[0] <= ks[-1] <= args.size:
        raise UsageError(
            f"expected --ks from 1 to {args.size}, the size, got {' '.join(map(str, ks))}"
        )


def _result(args: argparse.Namespace, family: str, ks: Sequence[int]) -> dict[str, Any]:
    """Return the content of <out>/products/<family>.json, measured unless it is there."""
    path = args.out / "products" / f"{family}.json"
    config = {
        "experiment": "products", "family": family, "size": args.size, "repeats": args.repeats, "ks": list(ks),
        "seed": args.seed,
    }  # fmt: skip
    return measured(path, config, lambda: {"errors": _errors(args, family, ks)}, args.force)


def _errors(args: argparse.Namespace, family: str, ks: Sequence[int]) -> dict[str, Any]:
    chunks, done_before = [], 0
    quiet = args.no_progress or not sys.stderr.isatty()
    with tqdm(total=args.repeats, unit="product", desc=family, disable=quiet) as bar:
        for done, chunk in errors(family, args.size, args.repeats, ks, args.seed):
            chunks.append(chunk)
            bar.update(done - done_before)
            done_before = done
    return summary(np.concatenate(chunks, -1), ks)


def compare(results: dict[str, dict[str, Any]]) -> tuple[list[str], int]:
    """Return a table of the published values beside ours, and how many are off by more than LIMIT."""
    rows, failures = (
        [
            f"{'entries':8} {'K':>3}  {'policy':20} {'published':>9} {'ours':>8} {'off by':>9} {'+-':>7}"
        ],
        0,
    )
    for family, content in results.items():
        if content["config"]["size"] != SIZE:
            return [f"published values are for --size {SIZE}: nothing to compare with"], 0
        for name, published in PUBLISHED[family].items():
            measured = content["errors"][name]
            for k, value in zip(PUBLISHED_K, published, strict=True):
                if k not in measured["k"]:
                    continue
                mean, std = (
                    measured[quantity][measured["k"].index(k)] for quantity in ("mean", "std")
                )
                off, error = mean / value - 1, std / np.sqrt(content["config"]["repeats"]) / value
                failed = abs(off) > LIMIT
                failures += failed
                entries, verdict = f"N({FAMILIES[family]:.0f}, 1)", "  DISAGREES" if failed else ""
                rows.append(
                    f"{entries:8} {k:3}  {name:20} {value:9.3f} {mean:8.4f} {off:+9.1%} {error:7.1%}{verdict}"
                )
    return rows, failures
