"""What a command measures without training configurations: one JSON file, measured unless it is there."""

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.config import UsageError
from experiments.results import SCHEMA, environment


def measured(
    path: Path, config: dict[str, Any], measure: Callable[[], dict[str, Any]], force: bool
) -> dict[str, Any]:
    """Return the content of `path`, the result of `config`; UsageError for a file that is another's or damaged."""
    found = None if force else _read(path, config)
    if found is not None:
        return found
    _write(path, {})  # what cannot be written is said before anything is measured
    began = time.perf_counter()
    results = measure()
    content = {
        "schema": SCHEMA,
        "config": config,
        **_with_null(results),
        "seconds": time.perf_counter() - began,
        "environment": environment("cpu"),
    }
    _write(path, content)
    return content


def _with_null(value: Any) -> Any:
    """Return numbers that are not finite as None, which JSON has a word for."""
    if isinstance(value, dict):
        return {key: _with_null(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_null(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    cure = "move it away, choose another --out, or measure again with --force"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"expected a result file in JSON, got {path}: {error}; {cure}") from error
    if not isinstance(content, dict) or (content.get("schema"), content.get("config")) != (
        SCHEMA,
        config,
    ):
        raise UsageError(
            f"expected the result of these options in {path}, got one of others; {cure}"
        )
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to a temporary name and rename it; nothing is left of empty content."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
        if content:
            os.replace(temporary, path)
    except OSError as error:
        raise UsageError(
            f"expected an output folder that can be written, got {error}; choose another --out"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
