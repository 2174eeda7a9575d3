"""Train what is missing: in parallel processes over runs, keeping every finished run, resuming where it stopped.

The unit of work is a stack, as the configurations say: of the paper's experiments on the CPU one run of all those
that can share its minibatches (lock-step), on a device all their runs at once. Random streams
depend on (seed, run, purpose) only and a stack trains as each member alone, so neither the grouping nor the order
nor an interruption shows in a result.
"""

import gc
import sys
from collections.abc import Generator, Hashable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from experiments.config import UsageError
from experiments.configuration import Configuration
from experiments.results import (
    forget_runs,
    merge,
    prepare,
    read_json,
    read_run,
    result_path,
    write_run,
)
from experiments.training import Member, load, train_stack


@dataclass(frozen=True)
class Running:
    """Where and how configurations are trained: what the options that change no result say."""

    out: Path
    data_dir: str | None = None
    jobs: int | None = None
    progress: bool = True
    force: bool = False


def train_all(configs: Sequence[Configuration], running: Running) -> list[dict[str, Any]]:
    """Return the contents of all result files of `configs`, training only what is not there yet."""
    for config in configs:
        config.check()
    unfinished = [
        c for c in configs if running.force or read_json(result_path(running.out, c), c) is None
    ]
    _check_data(unfinished, running.data_dir)
    for config in unfinished:
        prepare(running.out, config)
        if running.force:
            _forget(running.out, config)
    units = _missing(unfinished, running.out)
    with (
        closing(_in_parallel(units, running)) as finished,
        tqdm(total=sum(map(len, units)), unit="run", disable=_quiet(running, units)) as bar,
    ):
        for trained in finished:
            bar.update(trained)
    for config in unfinished:
        merge(running.out, config)
    for config in configs:
        forget_runs(running.out, config)
    results = [read_json(result_path(running.out, c), c) for c in configs]
    return [result for result in results if result is not None]


def train_unit(members: Sequence[Member], out: Path, data_dir: str | None) -> int:
    """Train a stack and keep the record of each member; return how many there were."""
    for (config, run), record in zip(members, train_stack(members, data_dir), strict=True):
        write_run(out, config, run, record)
    return len(members)


def _in_parallel(units: Sequence[list[Member]], running: Running) -> Generator[int, None, None]:
    jobs = min(running.jobs or cpu_count(), len(units)) or 1
    if jobs == 1:
        yield from (train_unit(members, running.out, running.data_dir) for members in units)
        return
    load.cache_clear()  # each process loads the data itself: what was loaded to be checked need not stay
    tasks = (delayed(train_unit)(members, running.out, running.data_dir) for members in units)
    try:
        with parallel_config(backend="loky", inner_max_num_threads=1):
            finished = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(tasks)
        yield from finished
    finally:
        # Waits for the thread that manages the processes: one that dies with this process leaves its locks behind.
        # What is garbage then is collected here, lest another thread be at it when the interpreter ends.
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
        gc.collect()


def _missing(configs: Sequence[Configuration], out: Path) -> list[list[Member]]:
    """Return the runs that are not there yet in stacks, where like estimators stand together."""
    stacks: dict[Hashable, list[Member]] = {}
    for config in configs:
        for run in range(config.runs):
            if read_run(out, config, run) is None:
                stacks.setdefault(config.stack(run), []).append((config, run))
    return list(stacks.values())


def _check_data(configs: Sequence[Configuration], data_dir: str | None) -> None:
    """Load the data here first, so that what is wrong with it is said once and before anything starts."""
    for dataset, batch_size, dtype in dict.fromkeys(
        (c.dataset, c.batch_size, c.dtype) for c in configs
    ):
        data = load(dataset, data_dir, batch_size, dtype)
        # Image data are validated in full batches: none is left where a batch is larger than their test set.
        rows = len(data.train[0]) if len(data.validation[0]) else data.validation_total
        if batch_size > rows:
            raise UsageError(
                f"expected --batch-size of at most {rows}, the rows there are, got {batch_size}; lower it"
            )


def _forget(out: Path, config: Configuration) -> None:
    result_path(out, config).unlink(missing_ok=True)
    forget_runs(out, config)


def _quiet(running: Running, units: Sequence[Any]) -> bool:
    return not running.progress or not units or not sys.stderr.isatty()
