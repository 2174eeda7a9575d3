"""Whole commands in fresh processes: CPU seconds, wall seconds, memory; the machine's load shows in the wall clock."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from statistics import median

from experiments.bench.grids import load_or_reason
from experiments.bench.memory import peak_megabytes
from experiments.bench.row import Row
from experiments.paper import configurations

FRESH = 5
"""Fresh processes that the start is measured in."""
IMPORT = (
    "import time; began = time.perf_counter(); import aopnp; print(time.perf_counter() - began)"
)
FIRST_FIT = """
import time
import numpy as np
from aopnp import AOP, SGD, CrossEntropy, Dense, RowMemory, Streams, fit, topk

rng = np.random.default_rng(0)
x, labels = rng.random((1500, 64), np.float32), rng.integers(0, 10, 1500)
streams = Streams(runs=range(5))
network = Dense(64, 10, AOP(topk, 8, RowMemory()))
network.initialise(streams, np.float32)
began = time.perf_counter()
fit(network, CrossEntropy(), SGD(0.05), (x, labels), streams=streams, batch_size=64, epochs=1)
print(time.perf_counter() - began)
"""


def start_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """Wall seconds of `import aopnp` and of the first `fit`, Numba's import included, with a warm Numba cache."""
    for what, code, limit in (
        ("import aopnp", IMPORT, 0.3),
        ("first cached fit, 23 steps", FIRST_FIT, 1.0),
    ):
        printed = [
            subprocess.check_output([sys.executable, "-c", code], text=True)
            for _ in range(FRESH + 1)
        ]
        seconds = median(map(float, printed[1:]))  # the first fills the caches
        yield Row(
            what,
            f"median of {FRESH} fresh processes",
            f"{seconds:.2f} s wall",
            figure=seconds,
            limit=limit,
            unit="s",
        )


def paper_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """`paper` from nothing: both grids, 38 configurations x 10 runs, six figures."""
    data = load_or_reason(configurations("mnist")[0], data_dir)
    if isinstance(data, str):
        yield Row("`paper` from nothing", "38 configurations x 10 runs", data)
        return
    yield whole_command("`paper` from nothing", "38 configurations x 10 runs", [], data_dir, 300)


def energy_command_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """`paper --only energy` from nothing, start and figures included."""
    what, size = (
        "`paper --only energy` from nothing",
        "start, 19 configurations x 10 runs, three figures",
    )
    data = load_or_reason(configurations("energy")[0], data_dir)
    yield (
        Row(what, size, data)
        if isinstance(data, str)
        else whole_command(what, size, ["--only", "energy"], data_dir)
    )


def whole_command(
    what: str, size: str, words: list[str], data_dir: str | None, limit: float | None = None
) -> Row:
    """Return the row of `paper` with `words`, run into a folder of its own: CPU seconds of the whole process tree."""
    before, began = _cpu_of_children(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            paper_command(folder, words, data_dir), check=True, stdout=subprocess.DEVNULL
        )
    cpu, wall = _cpu_of_children() - before, time.perf_counter() - began
    ours = f"{cpu:.0f} s of CPU, {wall:.0f} s wall, load {os.getloadavg()[0]:.1f}"
    return Row(what, size, ours, figure=cpu, limit=limit, unit="s")


def memory_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """The mnist grid's memory in two processes, sampled while it runs its first seconds."""
    what, size = (
        "peak memory of the mnist grid",
        "2 jobs, proportional set sizes sampled every 0.1 s of the first 20 s",
    )
    data = load_or_reason(configurations("mnist")[0], data_dir)
    if isinstance(data, str):
        yield Row(what, size, data)
        return
    with tempfile.TemporaryDirectory() as folder:
        peak = peak_megabytes(
            paper_command(folder, ["--only", "mnist", "--jobs", "2"], data_dir), seconds=20
        )
    if peak is None:
        yield Row(what, size, "not measured: needs /proc/*/smaps_rollup, which this system has not")
    else:
        yield Row(what, size, f"{peak:.0f} MB", figure=peak, limit=600, unit="MB")


def paper_command(folder: str, words: list[str], data_dir: str | None) -> list[str]:
    """Return the command that runs `paper` into `folder`."""
    data = [] if data_dir is None else ["--data-dir", data_dir]
    places = ["--out", folder, "--figures", f"{folder}/figures", "--device", "cpu", "--no-progress"]
    return [sys.executable, "-m", "experiments", "paper", *words, *data, *places]


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
