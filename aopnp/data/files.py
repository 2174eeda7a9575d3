"""A data file: where it belongs, where it comes from, which checksum its bytes have."""

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
    """A data file that is missing, unreadable or not what it should be; the message is a whole sentence."""


@dataclass(frozen=True)
class DataFile:
    """One published file; checksums are written `algorithm:digest`."""

    path: str  # below the data folder, with forward slashes
    url: str
    source: str  # the public page that errors name
    published: str  # checksum of the file as published
    content: str | None = (
        None  # of the uncompressed bytes; None: the file must equal the published one
    )


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Folder of the data sets: `data_dir`, else $AOPNP_DATA_DIR, else the user's cache directory."""
    named = data_dir if data_dir is not None else os.environ.get("AOPNP_DATA_DIR")
    return Path(os.path.expanduser(named)) if named else _cache()


def find(file: DataFile, data_dir: str | Path | None = None) -> Path:
    """Path of the file in the data folder, downloaded there where missing; DataError if there is no way."""
    path = data_folder(data_dir) / file.path
    if not os.path.exists(path):
        with _no_empty_folders(path):
            _download(file, path)
    return path


def load(file: DataFile, parse: Callable[[bytes], T], data_dir: str | Path | None = None) -> T:
    """`parse(bytes)` of the checked, uncompressed file; DataError with the cure where anything is wrong."""
    path = find(file, data_dir)
    try:
        return parse(_verified(file, path))
    except DataError as error:
        raise DataError(
            f"{path}: {error}; put the original from {file.source} in its place, "
            f"or move it away so that it is downloaded again."
        ) from None


def _cache() -> Path:
    """The platform's folder for what can be fetched again: where pooch.os_cache would put it."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
        return Path(local, "aopnp", "aopnp", "Cache")
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Caches/aopnp"))
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "aopnp")


@contextmanager
def _no_empty_folders(path: Path) -> Iterator[None]:
    """Folders that are made for a file that does not arrive go again."""
    missing = [folder for folder in path.parents if not os.path.exists(folder)]
    try:
        yield
    finally:
        for folder in missing:
            with suppress(OSError):  # not made after all, or not empty
                folder.rmdir()


def _download(file: DataFile, path: Path) -> None:
    try:
        import pooch
    except ImportError:
        raise _missing(
            file, path, "downloading it needs pooch (pip install 'aopnp[experiments]')"
        ) from None
    _make_writable(file, path)
    http = pooch.HTTPDownloader(
        timeout=10, stream=False
    )  # an unread stream would keep its socket open
    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(file.url, file.published, path.name, path.parent, downloader=http)
    except ValueError as error:
        raise _missing(file, path, f"what {file.url} sent was refused ({error})") from None
    except OSError as error:  # every exception of requests is one
        reason = error.strerror or type(error).__name__
        raise _missing(file, path, f"it could not be fetched from {file.url} ({reason})") from None


def _make_writable(file: DataFile, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _missing(file, path, f"its folder cannot be written ({error.strerror})") from None


def _missing(file: DataFile, path: Path, why: str) -> DataError:
    return DataError(
        f"expected the file {path.name} in {path.parent}, got none, and {why}; put it there by hand "
        f"(public source: {file.source}) or name another data folder with data_dir or $AOPNP_DATA_DIR."
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Our own sentence says what failed. Disabled, for a level would stick: the logger caches its answers."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _verified(file: DataFile, path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"expected a readable file, got none ({error.strerror})") from None
    if file.content is None:
        _check(data, file.published, "file")
    unpacked = _unpacked(data) if path.suffix == ".gz" else data
    if file.content is not None:
        _check(unpacked, file.content, "content")
    return unpacked


def _unpacked(data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"expected a whole gzip file, got a damaged one ({error})") from None


def _check(data: bytes, checksum: str, what: str) -> None:
    algorithm, _, digest = checksum.partition(":")
    got = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
    if got != digest:
        raise DataError(f"expected a {what} with {algorithm} {digest}, got {got}")
