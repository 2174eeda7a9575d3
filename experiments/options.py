"""Command-line options that several experiments share."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from aopnp.arrays.backend import CURE, probe
from aopnp.estimators.memories import MEMORIES
from aopnp.estimators.policies import PAPER_POLICIES
from experiments.config import DEFAULTS, Config, UsageError, configuration
from experiments.configuration import Configuration
from experiments.runner import Running


def add_configuration(parser: argparse.ArgumentParser, dataset: str) -> None:
    """Add the options that name one configuration; their defaults are the paper's."""
    default = DEFAULTS[dataset]
    add = parser.add_argument
    add(
        "--policy",
        choices=["exact", *PAPER_POLICIES],
        default=default.policy,
        help="which outer products to keep (%(default)s)",
    )
    add("--memory", choices=list(MEMORIES), help=f"what happens to the others ({default.memory})")
    add("--capacity", type=int, help="pairs that a queue memory holds (the batch size)")
    add("--k", type=int, help=f"outer products kept of each batch ({default.k})")
    add(
        "--batch-size", type=int, default=default.batch_size, help="rows M of a batch (%(default)s)"
    )
    add(
        "--epochs",
        type=int,
        default=default.epochs,
        help="passes over the training rows (%(default)s)",
    )
    add("--runs", type=int, default=default.runs, help="independent runs (%(default)s)")
    add("--lr", type=float, default=default.lr, help="step size (%(default)s)")
    add("--decay", type=float, help="memory decay from 0 to 1; 1 forgets nothing (1.0)")
    add("--momentum", type=float, default=default.momentum, help="momentum of SGD (%(default)s)")
    add("--nesterov", action="store_true", help="Nesterov momentum")
    add("--seed", type=int, default=default.seed, help="seed of all random streams (%(default)s)")
    add(
        "--dtype",
        choices=["float32", "float64"],
        default=default.dtype,
        help="floating-point type (%(default)s)",
    )


def add_running(parser: argparse.ArgumentParser, *, data: bool = True) -> None:
    """Add the options that say where and how to run, and change no result."""
    add = parser.add_argument
    add(
        "--device",
        choices=["auto", "cpu", "gpu", "cuda-sim"],
        default="auto",
        help="where arrays live (%(default)s)",
    )
    if data:
        add(
            "--data-dir",
            help="folder of the data sets ($AOPNP_DATA_DIR, else the user's cache directory)",
        )
    add(
        "--out", type=Path, default=Path("results"), help="folder of the result files (%(default)s)"
    )
    add("--jobs", type=int, help="parallel processes (the number of cores)")
    add(
        "--no-progress", action="store_true", help="no progress bar (there is none in a log anyway)"
    )
    add("--force", action="store_true", help="train again although a result exists")


def chosen_configuration(args: argparse.Namespace, dataset: str) -> Config:
    """Return the configuration that the options name; raises UsageError for options that contradict each other."""
    default = DEFAULTS[dataset]
    if args.policy == "exact":
        refuse(args, ["k", "memory"], "the exact gradient keeps every outer product")
    memory = "none" if args.policy == "exact" else args.memory or default.memory
    if memory == "none":
        refuse(args, ["decay"], "without memory nothing decays")
    if memory != "queue":
        refuse(args, ["capacity"], "only a queue memory has one")
    return configuration(
        dataset,
        args.policy,
        memory,
        capacity=args.capacity,
        k=default.k if args.k is None else args.k,
        decay=default.decay if args.decay is None else args.decay,
        device=chosen_device(args.device),
        **{
            name: getattr(args, name) for name in ("batch_size", "epochs", "runs", "lr", "momentum")
        },
        **{name: getattr(args, name) for name in ("nesterov", "seed", "dtype")},
    )


def chosen_running(args: argparse.Namespace) -> Running:
    """Return where and how to run, as the options say."""
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"expected --jobs of at least 1, got {args.jobs}")
    return Running(
        args.out, getattr(args, "data_dir", None), args.jobs, not args.no_progress, args.force
    )


def checked(args: argparse.Namespace, configs: Iterable[Configuration]) -> Running:
    """Return where and how to run; UsageError for a configuration that cannot be trained."""
    device = ""
    for config in configs:
        config.check()
        device = config.device
    running = chosen_running(args)
    if device == "gpu" and running.jobs is None:
        return replace(running, jobs=1)  # processes would share the one GPU
    return running


def chosen_device(name: str) -> str:
    """Return the device that `name` stands for; `auto` says why it is not a GPU. UsageError for one not there."""
    if name == "auto":
        works, reason = probe("gpu")
        print(f"device: gpu ({reason})" if works else f"device: cpu ({reason})")
        return "gpu" if works else "cpu"
    works, reason = probe(name)
    if not works:
        cure = (
            f"{CURE}; or use --device cpu" if name == "gpu" else "install g++, or use --device cpu"
        )
        raise UsageError(f"expected a working device, got --device {name}: {reason}; {cure}")
    if name == "cuda-sim":
        print(
            "device: cuda-sim runs CUDA source on the CPU, a thread at a time: for learning, and slow"
        )
    return name


def refuse(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raise UsageError for options that were given although they mean nothing here."""
    for name in names:
        if (value := getattr(args, name)) is not None:
            option = f"--{name.replace('_', '-')}"
            got = option if value is True else f"{option} {value}"
            raise UsageError(f"expected no {option} here, because {why}, got {got}; leave it out")
