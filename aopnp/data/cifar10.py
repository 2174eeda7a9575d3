"""CIFAR-10: 50000 + 10000 colour pictures of 32 x 32 pixels in ten classes, or a subset of it.

    record = label, 1024 reds, 1024 greens, 1024 blues        3073 bytes

A file of the "binary version" has 10000 records. The subset is the first 16000 + 4000 pictures.
Pictures are returned channels last: the colours of a pixel are neighbours.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). The checksum is
the one that torchvision and other public loaders use.
"""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aopnp.data.files import DataError, DataFile, data_folder, load
from aopnp.data.mnist import ImageData

Bytes = NDArray[np.uint8]
T = TypeVar("T")

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = DataFile(
    "cifar10/cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
)
UNPACKED = "cifar-10-batches-bin"
"""The folder of the unpacked archive."""
BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
RECORDS, PIXELS = 10000, 3 * 32 * 32

SUBSET = "cifar10_16k4k.npz"
SUBSET_SHAPES = {
    "x_train": (16000, 32, 32, 3),
    "y_train": (16000,),
    "x_test": (4000, 32, 32, 3),
    "y_test": (4000,),
}
SUBSET_MD5 = "4c6f342ab2e1fa7fcfa4d42adca44c9a"
"""Checksum of the bytes of the four arrays, one after another, because compressed files differ."""


def load_cifar10(data_dir: str | Path | None = None, *, complete: bool = False) -> ImageData:
    """Return pictures uint8 [n, 3072] (height, width, colour) and their classes.

    Looks in the folder cifar10 for the unpacked binary version, for its archive, and, unless the
    data set must be `complete`, for the subset; downloads the archive where none of them is there.
    Raises DataError where the download fails, and for damaged files.
    """
    folder = data_folder(data_dir) / "cifar10"
    unpacked = folder / UNPACKED
    if unpacked.exists():
        return _joined(lambda name: _read(unpacked / name, parse, unpacked))
    archive = data_folder(data_dir) / ARCHIVE.path
    subset = folder / SUBSET
    if subset.exists() and not complete and not archive.exists():
        return _read(subset, parse_subset, subset)
    return load(ARCHIVE, parse_archive, data_dir)


def parse(data: bytes) -> tuple[Bytes, Bytes]:
    """Return the pictures [10000, 3072], channels last, and classes [10000] of one file of records.

    Raises DataError for another length, and for classes beyond CLASSES.
    """
    if len(data) != RECORDS * (1 + PIXELS):
        raise DataError(
            f"expected {RECORDS} records of {1 + PIXELS} bytes, got {len(data)} bytes in all"
        )
    records = np.frombuffer(data, np.uint8).reshape(RECORDS, 1 + PIXELS)
    labels = records[:, 0].copy()
    planes = records[:, 1:].reshape(RECORDS, 3, 32, 32)
    pictures = planes.transpose(0, 2, 3, 1).reshape(RECORDS, PIXELS)
    if labels.max() >= len(CLASSES):
        raise DataError(f"expected classes from 0 to {len(CLASSES) - 1}, got {labels.max()}")
    return pictures, labels


def parse_archive(data: bytes) -> ImageData:
    """Return all pictures of the uncompressed archive; DataError where it lacks a file."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {}
        for member in archive:
            if member.isfile():
                found[member.name.rpartition("/")[2]] = member
        missing = [name for name in BATCHES if name not in found]
        if missing:
            raise DataError(
                f"expected {', '.join(missing)} in the archive, got {', '.join(found) or 'nothing'}"
            )
        contents = {name: archive.extractfile(found[name]) for name in BATCHES}
        return _joined(lambda name: parse(contents[name].read()))  # type: ignore[union-attr]


def parse_subset(data: bytes) -> ImageData:
    """Return the pictures of the subset's npz file; DataError for another content."""
    try:
        arrays = _arrays_of_subset(data)
    # A damaged file can fail in many ways: each of them is a reason that is reported.
    except Exception as error:
        names = ", ".join(SUBSET_SHAPES)
        raise DataError(f"expected arrays {names} in an npz file, got {error}") from None
    for name, array in arrays.items():
        shape = SUBSET_SHAPES[name]
        if array.shape != shape or array.dtype != np.uint8:
            raise DataError(f"expected {name} uint8 {shape}, got {array.dtype} {array.shape}")
    content = b"".join(array.tobytes() for array in arrays.values())
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != SUBSET_MD5:
        raise DataError(
            f"expected the first pictures of CIFAR-10 with md5 {SUBSET_MD5}, got {digest}"
        )
    x_train, y_train, x_test, y_test = arrays.values()
    return ImageData(x_train.reshape(-1, PIXELS), y_train, x_test.reshape(-1, PIXELS), y_test)


def _arrays_of_subset(data: bytes) -> dict[str, Bytes]:
    # The checksums of the zip file come first: NumPy trusts the header of an array.
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} does not fit")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in SUBSET_SHAPES}


def _joined(batch: Callable[[str], tuple[Bytes, Bytes]]) -> ImageData:
    """Return the pictures and classes that `batch` returns for each file of BATCHES, joined."""
    *train, (x_test, y_test) = [batch(name) for name in BATCHES]
    x_train = np.concatenate([pictures for pictures, _ in train])
    y_train = np.concatenate([classes for _, classes in train])
    return ImageData(x_train, y_train, x_test, y_test)


def _read(path: Path, parse: Callable[[bytes], T], unit: Path) -> T:
    """Return the parsed content of the file `path`.

    Raises DataError where it cannot be used; the error tells the user to move `unit`, the file or
    its folder, away before the archive is downloaded.
    """
    try:
        return parse(path.read_bytes())
    except DataError as error:
        problem = str(error)
    except OSError as error:
        problem = f"expected a readable file, got none ({error.strerror})"
    raise DataError(
        f"{path}: {problem}; move {unit} away so that all is downloaded again "
        f"(public source: {ARCHIVE.source})."
    ) from None
