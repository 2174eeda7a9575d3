"""Result files: one JSON file a configuration, written to a temporary name and renamed, never half there.

While runs are being trained, each finished one is a file in `.runs/` beside the results; when all runs of a
configuration are there they are merged into its result file and removed.
"""

import contextlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from experiments.config import UsageError
from experiments.configuration import Configuration

SCHEMA = 1


def result_path(out: Path, config: Configuration) -> Path:
    """Return where the result of `config` lies: <out>/<dataset>/<stem>.json."""
    return out / config.dataset / f"{config.stem()}.json"


def run_path(out: Path, config: Configuration, run: int) -> Path:
    """Return where one finished run waits for the others: <out>/<dataset>/.runs/<stem>-run<r>.json."""
    return out / config.dataset / ".runs" / f"{config.stem()}-run{run}.json"


def prepare(out: Path, config: Configuration) -> None:
    """Make the folder of waiting runs; raises UsageError where it cannot be written."""
    with _writing():
        run_path(out, config, 0).parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=run_path(out, config, 0).parent).close()


def _write(out: Path, config: Configuration, path: Path, content: dict[str, Any]) -> None:
    """Write `content` atomically; what a killed process leaves half written lies among the waiting runs."""
    prepare(out, config)
    temporary = run_path(out, config, 0).with_name(f"{path.name}.{os.getpid()}.tmp")
    with _writing():
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
        os.replace(temporary, path)


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"expected an output folder that can be written, got {error}; choose another --out"
        ) from error


def read_json(path: Path, config: Configuration) -> dict[str, Any] | None:
    """Return the content of a result or run file of `config`, or None if there is none.

    Raises UsageError for a file that is damaged, of another schema, or of another configuration: it is not
    overwritten, because somebody may still want it.
    """
    cure = "move it away, or train again with --force"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"expected a result file in JSON, got {path}: {error}; {cure}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise UsageError(
            f"expected a result file of schema {SCHEMA}, got {path} of schema {found}; {cure}"
        )
    if content.get("config") != config.as_dict():
        raise UsageError(
            f"expected the configuration {config.stem()}, got another one in {path}; {cure}"
        )
    if missing := {"history", "seconds"} - content.keys():
        raise UsageError(
            f"expected a whole result file, got {path} without {' and '.join(sorted(missing))}; {cure}"
        )
    return content


def read_run(out: Path, config: Configuration, run: int) -> dict[str, Any] | None:
    """Return the record of a finished run that waits for the others, or None."""
    return read_json(run_path(out, config, run), config)


def write_run(out: Path, config: Configuration, run: int, record: dict[str, Any]) -> None:
    """Keep the record of a finished run."""
    _write(
        out,
        config,
        run_path(out, config, run),
        {"schema": SCHEMA, "config": config.as_dict(), **record},
    )


def merge(out: Path, config: Configuration) -> None:
    """Write the result file once all runs of `config` are there."""
    records = [read_run(out, config, run) for run in range(config.runs)]
    found = [record for record in records if record is not None]
    if len(found) < config.runs:
        return
    diverged = [record["diverged_at"] for record in found if record["diverged_at"]]
    seconds = [record["seconds"] for record in found]
    content = {
        "schema": SCHEMA,
        "status": "diverged" if diverged else "finished",
        **({"diverged_at": diverged[0]} if diverged else {}),
        "config": config.as_dict(),
        "history": {
            name: [record["history"][name] for record in found] for name in found[0]["history"]
        },
        "seconds": {"total": sum(seconds), "per_run": seconds},
        "environment": environment(config.device),
    }
    _write(out, config, result_path(out, config), content)


def forget_runs(out: Path, config: Configuration) -> None:
    """Remove the run files of `config`, and their folder if only what a killed process left half written is there."""
    for run in range(config.runs):
        run_path(out, config, run).unlink(missing_ok=True)
    folder = run_path(out, config, 0).parent
    others = list(folder.glob("*"))
    if all(path.suffix == ".tmp" for path in others):
        for path in others:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or another command has begun to use it
            folder.rmdir()


def environment(device: str) -> dict[str, str | None]:
    """Return the versions that a result was made with."""
    packages = {name: _version(name) for name in ("aopnp", "numpy", "scipy", "numba", "cupy")}
    return {**packages, "python": platform.python_version(), "device": device, "commit": _commit()}


def _version(package: str) -> str | None:
    for name in (package, f"{package}-cuda13x", f"{package}-cuda12x"):
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
    return None


def _commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    with contextlib.suppress(OSError):
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False
        )
        return done.stdout.strip() or None
    return None
