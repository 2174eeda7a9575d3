"""The file of a saved network: a header in JSON and named arrays in one .npz archive.

There are no pickles in it, and none are read.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array

FORMAT = "aopnp network, version 2"

ENTRIES = (
    "epoch",
    "kinds",
    "estimators",
    "optimiser",
    "rule",
    "seed",
    "runs",
    "layers",
    "moments",
    "memory",
)
"""The entries of a header, apart from its format."""


def write(path: Path, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write header and arrays to a new file in the same folder, then give it the name `path`."""
    text = json.dumps({"format": FORMAT, **header})
    members: dict[str, Any] = {"header": np.array(text), **arrays}
    # The name of the new file is unpredictable, so that no link can lie in wait under it.
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **members)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _usual_mode())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _usual_mode() -> int:
    """Return the permissions that a new file gets: `mkstemp` lets only its owner read it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the header and the arrays of a file.

    Raises ValueError where the file is damaged or was not written by `write`.
    """
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # Before NumPy trusts a damaged shape.
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} does not fit")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(str(arrays.pop("header")))
    except Exception as error:
        # A damaged file can fail in many ways: the sentence reports which one.
        raise ValueError(
            f"expected a network saved by aopnp, got {path}, which is damaged or something else "
            f"({type(error).__name__}: {error}); save it again"
        ) from error
    found = header
    if isinstance(header, dict):
        found = header.get("format")
    if not isinstance(header, dict) or found != FORMAT:
        raise ValueError(
            f"expected a file of format {FORMAT!r}, got {found!r} in {path}; use the aopnp that "
            "saved it"
        )
    _check_header(path, header)
    return header, arrays


def _check_header(path: Path, header: dict[str, Any]) -> None:
    """Raise ValueError unless the header has all entries, and the number of an epoch."""
    missing = [entry for entry in ENTRIES if entry not in header]
    if missing:
        raise ValueError(
            f"{path}: expected {', '.join(ENTRIES)} in the header, got no {', '.join(missing)}; "
            "the file is damaged: save it again"
        )
    epoch = header["epoch"]
    if type(epoch) is not int or epoch < 0:
        raise ValueError(
            f"{path}: expected the number of an epoch, 0 or more, got {epoch!r}; the file is "
            "damaged: save it again"
        )
