"""`bench growth`: how the time of a step, over the exact step's, grows with K/M, width, batch and replicas."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from aopnp import Exact
from experiments.bench.machine import machine, versions
from experiments.bench.steps import SHARE, Problem, outer_product_step, problem, step
from experiments.bench.timing import interleaved
from experiments.config import UsageError

SCHEMA = 1
K_OF_256 = [4, 8, 16, 32, 64, 128, 192, 256]
WIDTHS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
BATCHES = [16, 32, 64, 128, 256, 512, 1024, 2048]
REPLICAS = [1, 2, 4, 8, 16, 32, 64]

Series: TypeAlias = dict[str, list[float]]
"""Name of an axis or of a ratio -> its values."""


def write_growth(out: Path, repeats: int) -> Path:
    """Measure every series, write <out>/bench/growth.json, return its path."""
    path = out / "bench" / "growth.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        series = {name: measure(repeats) for name, measure in SERIES.items()}
        about = {"schema": SCHEMA, "machine": machine(), "versions": versions(), "repeats": repeats}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(
            json.dumps(about | {"series": series}, indent=1, allow_nan=False), encoding="utf-8"
        )
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(
            f"expected an output folder that can be written, got {error}; choose another --out"
        ) from error
    return path


def against_exact(repeats: int, sizes: list[tuple[int, int, int, int]]) -> list[float]:
    """Return AOP step / exact step at each (M, N, P, K)."""
    return [over_exact(repeats, problem(M, N, P), K) for M, N, P, K in sizes]


def over_exact(repeats: int, on: Problem, K: int) -> float:
    """Return AOP step / exact step of one problem, printing it as a row in Markdown."""
    ours, exact = interleaved(repeats, outer_product_step(on, K), step(Exact(), on))
    M, (N, P) = on.x.shape[-2], on.w.shape[-2:]
    print(
        f"| growth, step / exact step | (M, N, P) = ({M}, {N}, {P}), K = {K} | {ours / exact:.3f} |",
        flush=True,
    )
    return ours / exact


def by_share(repeats: int) -> Series:
    """K/M from 1/64 to 1 at (256, 1024, 1024)."""
    ratio = against_exact(repeats, [(256, 1024, 1024, K) for K in K_OF_256])
    return {"x": [K / 256 for K in K_OF_256], "ratio": ratio}


def by_width(repeats: int) -> Series:
    """N = P from 16 to 4096 at M = 256, K/M = 1/8."""
    return {
        "x": [float(N) for N in WIDTHS],
        "ratio": against_exact(repeats, [(256, N, N, 32) for N in WIDTHS]),
    }


def by_batch(repeats: int) -> Series:
    """M from 16 to 2048 at N = P = 1024, K/M = 1/8."""
    ratio = against_exact(repeats, [(M, 1024, 1024, M // SHARE) for M in BATCHES])
    return {"x": [float(M) for M in BATCHES], "ratio": ratio}


def by_replicas(repeats: int) -> Series:
    """R replicas of the mnist layer in one stack, over the same replicas one by one."""
    one_minibatch: list[float] = []
    own: list[float] = []
    for R in REPLICAS:
        for shared, ratios in ((True, one_minibatch), (False, own)):
            ratios.append(over_one_by_one(repeats, R, shared=shared))
        print(
            f"| growth, stacked / one by one, one minibatch | R = {R} | {one_minibatch[-1]:.3f} |"
        )
        print(
            f"| growth, stacked / one by one, own minibatches | R = {R} | {own[-1]:.3f} |",
            flush=True,
        )
    return {
        "x": [float(R) for R in REPLICAS],
        "one minibatch": one_minibatch,
        "own minibatches": own,
    }


def over_one_by_one(repeats: int, R: int, *, shared: bool) -> float:
    """Return the time of R stacked replicas over that of R single ones, which share their minibatch or do not."""
    stacked = problem(64, 784, 10, R, shared=shared)
    single = [outer_product_step(_replica(stacked, r), 64 // SHARE) for r in range(R)]
    together, one_by_one = interleaved(
        repeats, outer_product_step(stacked, 64 // SHARE), functools.partial(_all, single)
    )
    return together / one_by_one


def _replica(stacked: Problem, r: int) -> Problem:
    def own(array: Any) -> Any:
        return array[r % len(array)][None]

    return Problem(own(stacked.x), own(stacked.g), np.zeros_like(stacked.w[:1]))


def _all(steps: list[Callable[[], None]]) -> None:
    for one in steps:
        one()


SERIES: dict[str, Callable[[int], Series]] = {
    "k": by_share,
    "width": by_width,
    "batch": by_batch,
    "replicas": by_replicas,
}
