"""`info`: versions, array backends, where data and results lie."""

import argparse
from collections.abc import Callable
from pathlib import Path

from threadpoolctl import threadpool_info

from aopnp.arrays.backend import probe
from aopnp.data import data_folder
from experiments.results import environment


def add_info(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Add the options of `info`; return what runs it."""
    parser.add_argument(
        "--data-dir",
        help="folder of the data sets ($AOPNP_DATA_DIR, else the user's cache directory)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder of the result files (%(default)s)"
    )
    return run


def run(args: argparse.Namespace) -> int:
    """Print what this installation can do; return the exit code."""
    blas = ", ".join(
        f"{pool['internal_api']} {pool['version']}"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )
    lines = {
        **{
            name: value or "not installed"
            for name, value in environment("cpu").items()
            if name != "device"
        },
        "cpu": f"works (BLAS: {blas})",
        "gpu": _device("gpu"),
        "cuda-sim": _device("cuda-sim"),
        "data": _folder(data_folder(args.data_dir)),
        "results": _folder(args.out.resolve()),
    }
    for name, value in lines.items():
        print(f"{name:8}  {value}")
    return 0


def _device(name: str) -> str:
    works, reason = probe(name)
    return f"{'works' if works else 'does not work'}: {reason}"


def _folder(path: Path) -> str:
    return f"{path} ({'exists' if path.is_dir() else 'not there yet'})"
