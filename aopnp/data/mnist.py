"""MNIST and two data sets of the same form: 60000 + 10000 grey pictures of 28 x 28 pixels.

Each set has ten classes. MNIST: LeCun, Cortes, Burges. Fashion-MNIST: Xiao, Rasul, Vollgraf (2017).
KMNIST: Clanuwat et al. (2018). The checksums of the published files are those of torchvision's
`datasets/mnist.py`; for KMNIST they are sha256, as other loaders of KMNIST list them.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aopnp.data import idx
from aopnp.data.files import DataFile, load

SHAPES = {
    "train-images-idx3-ubyte.gz": (60000, 28, 28),
    "train-labels-idx1-ubyte.gz": (60000,),
    "t10k-images-idx3-ubyte.gz": (10000, 28, 28),
    "t10k-labels-idx1-ubyte.gz": (10000,),
}
"""File -> shape of its values; the files of each data set, in this order."""


class ImageData(NamedTuple):
    """Pictures as rows of pixels 0..255 and their classes 0..9, in the original order."""

    x_train: NDArray[np.uint8]
    """Pictures to train on [n, N]; for MNIST [60000, 784]."""
    y_train: NDArray[np.uint8]
    """Their classes [n]."""
    x_test: NDArray[np.uint8]
    """Pictures to test with [n, N]; for MNIST [10000, 784]."""
    y_test: NDArray[np.uint8]
    """Their classes [n]."""


def _files(
    folder: str, url: str, source: str, published: Sequence[str], content: Sequence[str | None]
) -> tuple[DataFile, ...]:
    """Return the four files of a data set; checksums are of published and unpacked bytes."""
    files = []
    for name, packed, unpacked in zip(SHAPES, published, content, strict=True):
        files.append(DataFile(f"{folder}/{name}", url + name, source, packed, unpacked))
    return tuple(files)


IMAGE_SETS = {
    "mnist": _files(
        "mnist",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
        published=(
            "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "md5:9fb629c4189551a2d022fa330f9573f3",
            "md5:ec29112dd5afa0611ce80d1b7f02629c",
        ),
        content=(
            "md5:6bbc9ace898e44ae57da46a324031adb",
            "md5:a25bea736e30d166cdddb491f175f624",
            "md5:2646ac647ad5339dbf082846283269ea",
            "md5:27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    "fashion_mnist": _files(
        "fashion_mnist",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist",
        published=(
            "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "md5:25c81989df183df01b3e8a0aad5dffbe",
            "md5:bef4ecab320f06d8554ea6380940ec79",
            "md5:bb300cfdad3c16e7a12a480ee83cd310",
        ),
        content=(
            "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "md5:9018921c3c673c538a1fc5bad174d6f9",
            "md5:8181f5470baa50b63fa0f6fddb340f0a",
            "md5:15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
    "kmnist": _files(
        "kmnist",
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://codh.rois.ac.jp/kmnist/",
        published=(
            "sha256:51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "sha256:e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "sha256:edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "sha256:20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        content=(None, None, None, None),
    ),
}


def load_mnist(name: str = "mnist", data_dir: str | Path | None = None) -> ImageData:
    """Return the data set `name`: mnist, fashion_mnist or kmnist.

    Raises ValueError for another name, and DataError for missing or damaged files.
    """
    if name not in IMAGE_SETS:
        raise ValueError(f"expected one of the data sets {', '.join(IMAGE_SETS)}, got {name!r}")
    arrays = []
    for file, shape in zip(IMAGE_SETS[name], SHAPES.values(), strict=True):
        arrays.append(load(file, partial(idx.parse, shape=shape), data_dir))
    x_train, y_train, x_test, y_test = arrays
    return ImageData(x_train.reshape(60000, 784), y_train, x_test.reshape(10000, 784), y_test)
