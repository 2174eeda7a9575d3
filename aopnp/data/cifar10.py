"""CIFAR-10: 50000 + 10000 colour pictures of 32 x 32 pixels in ten classes; or its first 16000 + 4000, a subset.

record = label, 1024 reds, 1024 greens, 1024 blues        3073 bytes, 10000 records a file ("binary version")

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). Checksum as in torchvision's and
other public loaders. Pictures come out channels last: the colours of a pixel stand together.
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
"""Of the bytes of the four arrays, one after another: compressed files differ."""


def load_cifar10(data_dir: str | Path | None = None, *, complete: bool = False) -> ImageData:
    """Pictures uint8 [n, 3072] (height, width, colour) and classes; all 50000 + 10000, or the subset where it lies.

    Looks in the folder cifar10 for the unpacked binary version, for its archive, and, unless `complete` is asked for,
    for the subset; downloads the archive where none is there. DataError where that fails, and for damaged files.
    """
    folder = data_folder(data_dir) / "cifar10"
    if (folder / UNPACKED).exists():
        return _joined(lambda name: _read(folder / UNPACKED / name, parse, folder / UNPACKED))
    if (
        (folder / SUBSET).exists()
        and not complete
        and not (data_folder(data_dir) / ARCHIVE.path).exists()
    ):
        return _read(folder / SUBSET, parse_subset, folder / SUBSET)
    return load(ARCHIVE, parse_archive, data_dir)


def parse(data: bytes) -> tuple[Bytes, Bytes]:
    """Pictures [10000, 3072], channels last, and classes [10000] of one file of records; DataError for others."""
    if len(data) != RECORDS * (1 + PIXELS):
        raise DataError(
            f"expected {RECORDS} records of {1 + PIXELS} bytes, got {len(data)} bytes in all"
        )
    records = np.frombuffer(data, np.uint8).reshape(RECORDS, 1 + PIXELS)
    planes = records[:, 1:].reshape(RECORDS, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1).reshape(RECORDS, PIXELS), _classes(records[:, 0].copy())


def parse_archive(data: bytes) -> ImageData:
    """All pictures of the uncompressed archive; DataError where it lacks one of the files."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {member.name.rpartition("/")[2]: member for member in archive if member.isfile()}
        if missing := [name for name in BATCHES if name not in found]:
            raise DataError(
                f"expected {', '.join(missing)} in the archive, got {', '.join(found) or 'nothing'}"
            )
        contents = {name: archive.extractfile(found[name]) for name in BATCHES}
        return _joined(lambda name: parse(contents[name].read()))  # type: ignore[union-attr]


def parse_subset(data: bytes) -> ImageData:
    """The pictures of the subset's npz file; DataError for another content."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()  # before NumPy trusts a damaged header
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} does not fit")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in SUBSET_SHAPES}
    except Exception as error:  # a damaged file can fail in many ways: each is the reported reason
        names = ", ".join(SUBSET_SHAPES)
        raise DataError(f"expected arrays {names} in an npz file, got {error}") from None
    for name, array in arrays.items():
        if array.shape != SUBSET_SHAPES[name] or array.dtype != np.uint8:
            raise DataError(
                f"expected {name} uint8 {SUBSET_SHAPES[name]}, got {array.dtype} {array.shape}"
            )
    digest = hashlib.md5(
        b"".join(array.tobytes() for array in arrays.values()), usedforsecurity=False
    ).hexdigest()
    if digest != SUBSET_MD5:
        raise DataError(
            f"expected the first pictures of CIFAR-10 with md5 {SUBSET_MD5}, got {digest}"
        )
    x_train, y_train, x_test, y_test = arrays.values()
    return ImageData(x_train.reshape(-1, PIXELS), y_train, x_test.reshape(-1, PIXELS), y_test)


def _joined(batch: Callable[[str], tuple[Bytes, Bytes]]) -> ImageData:
    *train, (x_test, y_test) = [batch(name) for name in BATCHES]
    x_train, y_train = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return ImageData(x_train, y_train, x_test, y_test)


def _read(path: Path, parse: Callable[[bytes], T], unit: Path) -> T:
    """`parse` the file; where it cannot be used, `unit` is what has to go before the archive is downloaded."""
    try:
        return parse(path.read_bytes())
    except (DataError, OSError) as error:
        problem = (
            error
            if isinstance(error, DataError)
            else f"expected a readable file, got none ({error.strerror})"
        )
        raise DataError(
            f"{path}: {problem}; move {unit} away so that all is downloaded again (public source: {ARCHIVE.source})."
        ) from None


def _classes(labels: Bytes) -> Bytes:
    if labels.max() >= len(CLASSES):
        raise DataError(f"expected classes from 0 to {len(CLASSES) - 1}, got {labels.max()}")
    return labels
