"""`bench gpu`: bandwidth, selection, the AOP step and the paper's mnist grid on a device, by CUDA events."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from aopnp import AOP, RowMemory, topk
from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.arrays.kernels import accumulate
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.estimators.policies import k_best
from experiments.paper import configurations
from experiments.training import load, train_stack

GEMM_SIZES = [(4096, 4096, 4096), (1024, 1024, 1024)]
SHARES = [2, 4, 8, 16]
MEGABYTES = [16, 64, 256, 1024]
SLOTS = [64, 1024, 4096, 65536]
WARM_UP = 3

Figure: TypeAlias = tuple[str, str, str]
"""What was measured, at which size, and what came out."""


def gpu_figures(device: str, repeats: int, data_dir: str | None) -> Iterator[Figure]:
    """Yield (what, size, figure) of everything that `bench gpu` measures."""
    yield from bandwidth(device, repeats, MEGABYTES)
    yield from selection(device, repeats, SLOTS)
    yield from products(device, repeats, GEMM_SIZES, SHARES)
    yield from mnist_grid(device, data_dir)


def bandwidth(device: str, repeats: int, megabytes: Sequence[int]) -> Iterator[Figure]:
    """Accumulate + norms (three passes over the memory) as a share of the bandwidth of a copy (two passes)."""
    N = P = 2048
    for size in megabytes:
        M = max(1, size * 2**20 // (4 * (N + P)))
        a, b, x, g = (normal(device, 1, M, width) for width in (N, P, N, P))
        rho, fresh = (
            to_device(np.ones(1, np.float32), device),
            to_device(np.zeros((1, M), bool), device),
        )
        source, target = normal(device, M, N + P), normal(device, M, N + P)
        ours, copy = interleaved(
            array_module(a),
            repeats,
            functools.partial(accumulate, a, b, x, g, rho, fresh),
            functools.partial(target.__setitem__, ..., source),
        )
        yield (
            "accumulate + norms / copy bandwidth",
            f"{size} MB of memory",
            f"{100 * (3 / ours) / (2 / copy):.0f} %",
        )


def selection(device: str, repeats: int, slots: Sequence[int]) -> Iterator[Figure]:
    """The K = S/8 largest of S keys."""
    for S in slots:
        keys = normal(device, 1, S, dtype=np.float64)
        (seconds,) = interleaved(
            array_module(keys), repeats, functools.partial(k_best, keys, np.array([S // 8]))
        )
        yield "selection of S/8 rows", f"S = {S}", f"{1e6 * seconds:.1f} us"


def products(
    device: str, repeats: int, sizes: Sequence[tuple[int, int, int]], shares: Sequence[int]
) -> Iterator[Figure]:
    """The whole AOP weight gradient (memory, selection, gather, product) against the exact product, float32."""
    for M, N, P in sizes:
        x, g = normal(device, 1, M, N), normal(device, 1, M, P)
        noise = to_device(np.zeros((1, M)), device)
        for share in shares:
            step = functools.partial(_aop_step, AOP(topk, M // share, RowMemory()), [], x, g, noise)
            ours, exact = interleaved(
                array_module(x), repeats, step, functools.partial(_exact_step, x, g)
            )
            yield (
                "AOP step / exact product",
                f"(M, N, P) = ({M}, {N}, {P}), K/M = 1/{share}",
                f"{ours / exact:.3f}",
            )


def _aop_step(estimator: AOP, state: list[Any], x: Array, g: Array, noise: Array) -> Array:
    if not state:
        state.append(estimator.start(x, g))
    return dense(estimator(x, g, state[0], noise, Step()))


def _exact_step(x: Array, g: Array) -> Array:
    return x.swapaxes(-1, -2) @ g


def mnist_grid(device: str, data_dir: str | None, runs: int = 10) -> Iterator[Figure]:
    """One epoch of the paper's 19 mnist configurations, all runs in one stack; 30 make the paper's grid."""
    configs = [replace(config, epochs=1, device=device) for config in configurations("mnist")]
    load("mnist", data_dir, configs[0].batch_size, configs[0].dtype)
    for label in ("first", "second"):  # the first compiles
        began = time.perf_counter()
        train_stack([(config, run) for config in configs for run in range(runs)], data_dir)
        seconds = time.perf_counter() - began
        yield (
            f"mnist grid, {label} epoch",
            f"{len(configs)} configurations x {runs} runs",
            f"{seconds:.2f} s",
        )


def normal(device: str, *shape: int, dtype: type = np.float32) -> Array:
    """Return normal floats on `device`."""
    return to_device(np.random.default_rng(0).standard_normal(shape, dtype), device)


def interleaved(xp: ModuleType, repeats: int, *functions: Callable[[], Any]) -> list[float]:
    """Return the median seconds of each function, by CUDA events, in turn A B A B after a warm-up."""
    seconds: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + WARM_UP):
        for function, measured in zip(functions, seconds, strict=True):
            start, stop = xp.cuda.Event(), xp.cuda.Event()
            start.record()
            function()
            stop.record()
            stop.synchronize()
            if repeat >= WARM_UP:
                measured.append(xp.cuda.get_elapsed_time(start, stop) / 1000)
    return [median(each) for each in seconds]
