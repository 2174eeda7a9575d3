"""A data file: its place in the data folder, its public source and its checksum."""

import gzip
import hashlib
import logging
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class DataError(ValueError):
    """A data file that is missing, unreadable or has another content than expected.

    The message is a whole sentence.
    """


@dataclass(frozen=True)
class DataFile:
    """One published file; checksums are written `algorithm:digest`."""

    path: str
    """Place below the data folder, with forward slashes."""
    url: str
    """Address of the file."""
    source: str
    """The public page that errors name."""
    published: str
    """Checksum of the file as it is published."""
    content: str | None = None
    """Checksum of the uncompressed bytes; None: the file must equal the published one."""


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Return the folder of the data sets.

    It is `data_dir`, else $AOPNP_DATA_DIR, else the user's cache directory.
    """
    named = data_dir
    if named is None:
        named = os.environ.get("AOPNP_DATA_DIR")
    if not named:
        return _cache()
    return Path(os.path.expanduser(named))


def find(file: DataFile, data_dir: str | Path | None = None) -> Path:
    """Return the path of the file in the data folder; download the file if it is missing.

    Raises DataError where it cannot be downloaded.
    """
    path = data_folder(data_dir) / file.path
    if not os.path.exists(path):
        with _no_empty_folders(path):
            _download(file, path)
    return path


def load(file: DataFile, parse: Callable[[bytes], T], data_dir: str | Path | None = None) -> T:
    """Return `parse(bytes)` for the uncompressed bytes of the file, after their check.

    Raises DataError, with the cure, where the file is missing, damaged or refused by `parse`.
    """
    path = find(file, data_dir)
    try:
        return parse(_verified(file, path))
    except DataError as error:
        raise DataError(
            f"{path}: {error}; put the original from {file.source} in its place, "
            "or move it away so that it is downloaded again."
        ) from None


def _cache() -> Path:
    """Return the platform's folder for files that can be fetched again, as pooch.os_cache does."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
        return Path(local, "aopnp", "aopnp", "Cache")
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Caches/aopnp"))
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "aopnp")


@contextmanager
def _no_empty_folders(path: Path) -> Iterator[None]:
    """Delete, in the end, folders that were made inside for `path` and are still empty."""
    missing = [folder for folder in path.parents if not os.path.exists(folder)]
    try:
        yield
    finally:
        for folder in missing:
            # It fails for a folder that was not made, or is not empty.
            with suppress(OSError):
                folder.rmdir()


def _download(file: DataFile, path: Path) -> None:
    try:
        import pooch
    except ImportError:
        raise _missing(file, path, "downloading it needs pooch (pip install pooch)") from None
    _make_writable(file, path)
    # Not as a stream: a stream that is not read to its end would keep its socket open.
    http = pooch.HTTPDownloader(timeout=10, stream=False)
    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(file.url, file.published, path.name, path.parent, downloader=http)
    except ValueError as error:
        reason = f"the file that {file.url} sent was refused ({error})"
        raise _missing(file, path, reason) from None
    # All exceptions of requests are OSErrors.
    except OSError as error:
        fault = error.strerror or type(error).__name__
        reason = f"it could not be fetched from {file.url} ({fault})"
        raise _missing(file, path, reason) from None


def _make_writable(file: DataFile, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        reason = f"its folder cannot be written ({error.strerror})"
        raise _missing(file, path, reason) from None


def _missing(file: DataFile, path: Path, reason: str) -> DataError:
    """Return the error for a missing file that cannot be downloaded, for `reason`."""
    return DataError(
        f"expected the file {path.name} in {path.parent}, got none, and {reason}; "
        f"put it there by hand (public source: {file.source}) "
        "or name another data folder with data_dir or $AOPNP_DATA_DIR."
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silence `logger`: the sentence of a DataError is enough.

    The logger is disabled. Another level would outlast the block, because a logger caches the
    levels that it has been asked for.
    """
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _verified(file: DataFile, path: Path) -> bytes:
    """Return the uncompressed bytes of the file; DataError where a checksum does not fit."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"expected a readable file, got none ({error.strerror})") from None
    if file.content is None:
        _check(data, file.published, "file")
    unpacked = data
    if path.suffix == ".gz":
        unpacked = _unpacked(data)
    if file.content is not None:
        _check(unpacked, file.content, "content")
    return unpacked


def _unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"expected a whole gzip file, got a damaged one ({error})") from None


def _check(data: bytes, checksum: str, name: str) -> None:
    """Raise DataError where `data`, which errors call `name`, has another checksum."""
    algorithm, _, digest = checksum.partition(":")
    got = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    if got != digest:
        raise DataError(f"expected a {name} with {algorithm} {digest}, got {got}")
