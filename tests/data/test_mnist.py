"""The MNIST family: which file becomes which array, and that only the published data gets
through."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from aopnp.data import DataError, DataFile, load_mnist, mnist
from tests.data.test_idx import written

NEEDS_DATA = pytest.mark.skipif(
    not os.environ.get("AOPNP_DATA_DIR"),
    reason="needs the data sets: set AOPNP_DATA_DIR to their folder",
)
NAMES = ("mnist", "fashion_mnist", "kmnist")


def made_up(folder: Path, seed: int) -> dict[str, np.ndarray]:
    """The four files of a data set of the real size, drawn at random and written into the
    folder."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    arrays = {name: rng.integers(0, 256, shape, np.uint8) for name, shape in mnist.SHAPES.items()}
    for name, values in arrays.items():
        (folder / name).write_bytes(gzip.compress(written(values), compresslevel=0, mtime=0))
    return arrays


def known(folder: Path) -> tuple[DataFile, ...]:
    """The files of the folder as a table that knows their checksums."""
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in mnist.SHAPES
    }
    return tuple(
        DataFile(f"{folder.name}/{name}", "", "", f"sha256:{sha}") for name, sha in digests.items()
    )


def test_every_file_becomes_its_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = made_up(tmp_path / "kmnist", seed=1)
    monkeypatch.setitem(mnist.IMAGE_SETS, "kmnist", known(tmp_path / "kmnist"))
    data = load_mnist("kmnist", tmp_path)
    assert data._fields == ("x_train", "y_train", "x_test", "y_test")
    for (name, values), read in zip(arrays.items(), data, strict=True):
        expected = values.reshape(len(values), -1) if "images" in name else values
        np.testing.assert_array_equal(read, expected, strict=True)


def test_images_in_the_place_of_labels_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(tmp_path / "kmnist", seed=1)
    images, _, *test = known(tmp_path / "kmnist")
    monkeypatch.setitem(mnist.IMAGE_SETS, "kmnist", (images, images, *test))
    with pytest.raises(
        DataError, match=r"train-images.*expected the IDX magic number 2049, got 2051"
    ):
        load_mnist("kmnist", tmp_path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", mnist.SHAPES)
def test_other_data_of_the_right_shape_is_refused(
    name: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the twelve files is checked, alone, so that no other can fail in its place."""
    shape = mnist.SHAPES[part]
    (file,) = (file for file in mnist.IMAGE_SETS[name] if file.path == f"{name}/{part}")
    (tmp_path / name).mkdir()
    forged = gzip.compress(written(np.zeros(shape, np.uint8)), compresslevel=1)
    (tmp_path / name / part).write_bytes(forged)
    monkeypatch.setitem(mnist.IMAGE_SETS, name, (file,))
    monkeypatch.setattr(mnist, "SHAPES", {part: shape})
    with pytest.raises(DataError) as caught:
        load_mnist(name, tmp_path)
    algorithm, _, digest = (file.content or file.published).partition(":")
    assert f"{tmp_path / name / part}: expected a " in str(caught.value)
    assert f"with {algorithm} {digest}, got " in str(caught.value)
    assert (tmp_path / name / part).read_bytes() == forged


def test_the_table_names_every_file_once() -> None:
    files = [file for group in mnist.IMAGE_SETS.values() for file in group]
    assert {file.path for file in files} == {
        f"{name}/{part}" for name in NAMES for part in mnist.SHAPES
    }
    assert all(file.url.endswith(file.path.rpartition("/")[2]) for file in files)
    sums = [checksum for file in files for checksum in (file.published, file.content) if checksum]
    assert len(set(sums)) == len(sums) == 20
    assert {(a, len(digest)) for a, digest in (s.split(":") for s in sums)} == {
        ("md5", 32),
        ("sha256", 64),
    }


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"mnist, fashion_mnist, kmnist, got 'emnist'") as caught:
        load_mnist("emnist")
    assert not isinstance(caught.value, DataError)


# Class counts as published with the data sets.
TRAIN_COUNTS = {
    "mnist": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "fashion_mnist": [6000] * 10,
}
TEST_COUNTS = {
    "mnist": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    "fashion_mnist": [1000] * 10,
}


@NEEDS_DATA
@pytest.mark.parametrize("name", TRAIN_COUNTS)
def test_the_real_data_is_read(name: str) -> None:
    data = load_mnist(name)
    assert [array.shape for array in data] == [(60000, 784), (60000,), (10000, 784), (10000,)]
    assert {array.dtype for array in data} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(np.bincount(data.y_train), TRAIN_COUNTS[name])
    np.testing.assert_array_equal(np.bincount(data.y_test), TEST_COUNTS[name])


@NEEDS_DATA
def test_images_and_labels_of_mnist_belong_together() -> None:
    """The nearest class mean gets 82 % right on the test images; shifted by one image, one in
    ten."""
    data = load_mnist()
    pixels = data.x_train.astype(np.float32)
    means = np.stack([pixels[data.y_train == digit].mean(0) for digit in range(10)])
    distance = (means**2).sum(1) - 2 * data.x_test.astype(np.float32) @ means.T
    assert (distance.argmin(1) == data.y_test).mean() > 0.8
