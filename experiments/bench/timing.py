"""Fair timing on a machine that others use too: CPU time, opponents in turn, medians over clean samples.

Waiting for a core costs no CPU time, but coming back to cold caches does, and a neighbour on the same physical core
doubles everything. A sample is clean where wall and CPU time agree to a tenth and the CPU time is at most 1.3 times the
shortest of those. One BLAS thread, whose spinning would count otherwise.
"""

import math
import time
from collections.abc import Callable
from statistics import median

from threadpoolctl import threadpool_limits

SHORTEST = 2e-3
"""Seconds of the shortest sample: what is faster is called several times."""


def interleaved(repeats: int, *functions: Callable[[], object]) -> list[float]:
    """Return the median CPU seconds of one call of each function, measured in turn A B A B after a warm-up."""
    samples: list[list[tuple[float, float]]] = [[] for _ in functions]
    for function in functions:
        function()  # compiles, and loads what is imported late: only a BLAS that is there can be limited
    with threadpool_limits(1):
        calls = [_calls(function) for function in functions]
        for _ in range(repeats):
            for function, number, measured in zip(functions, calls, samples, strict=True):
                measured.append(_sample(function, number))
    return [_median(measured) for measured in samples]


def _calls(function: Callable[[], object]) -> int:
    seconds, _ = _sample(function, 3)
    return max(1, math.ceil(SHORTEST / max(seconds, 1e-9)))


def _sample(function: Callable[[], object], calls: int) -> tuple[float, float]:
    """Return (CPU, wall) seconds a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


def _median(samples: list[tuple[float, float]]) -> float:
    kept = [cpu for cpu, wall in samples if wall <= 1.1 * cpu] or [cpu for cpu, _ in samples]
    return median(cpu for cpu in kept if cpu <= 1.3 * min(kept))
