"""CIFAR-10: which byte of which file becomes which pixel, which source is taken, and what is
refused."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp.data import DataError, ImageData, cifar10, load_cifar10

RECORDS = 7
NAMES = ("x_train", "y_train", "x_test", "y_test")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 7 records, a subset of 3 + 2 pictures, and no source to download from."""
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)
    shapes = {"x_train": (3, 32, 32, 3), "y_train": (3,), "x_test": (2, 32, 32, 3), "y_test": (2,)}
    monkeypatch.setattr(cifar10, "SUBSET_SHAPES", shapes)
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, url="http://127.0.0.1:9/"))
    monkeypatch.setenv("no_proxy", "*")


def made_up() -> tuple[dict[str, bytes], ImageData]:
    """The six files, written byte by byte as the site describes them, and the arrays that they
    stand for."""
    rng = np.random.default_rng(0)
    files, images, labels = {}, [], []
    for name in cifar10.BATCHES:
        pictures = rng.integers(0, 256, (RECORDS, 32, 32, 3), np.uint8)
        classes = rng.integers(0, 10, RECORDS, np.uint8)
        records = []
        for picture, label in zip(pictures, classes, strict=True):
            red, green, blue = (picture[:, :, colour].tobytes() for colour in range(3))
            records.append(bytes([label]) + red + green + blue)
        files[name] = b"".join(records)
        images.append(pictures.reshape(RECORDS, -1))
        labels.append(classes)
    train = np.concatenate(images[:5]), np.concatenate(labels[:5])
    return files, ImageData(*train, images[5], labels[5])


def unpack(folder: Path) -> ImageData:
    """The unpacked binary version below `folder`."""
    files, data = made_up()
    (folder / "cifar10" / "cifar-10-batches-bin").mkdir(parents=True)
    for name, content in files.items():
        (folder / "cifar10" / "cifar-10-batches-bin" / name).write_bytes(content)
    return data


def pack(folder: Path, monkeypatch: pytest.MonkeyPatch, leave_out: str = "") -> ImageData:
    """The archive below `folder`, whose checksum is the known one."""
    files, data = made_up()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in {"batches.meta.txt": b"airplane\n", **files}.items():
            if name != leave_out:
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    (folder / "cifar10").mkdir(exist_ok=True)
    (folder / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(packed.getvalue())
    digest = hashlib.md5(packed.getvalue()).hexdigest()
    monkeypatch.setattr(cifar10, "ARCHIVE", replace(cifar10.ARCHIVE, published=f"md5:{digest}"))
    return data


def reduced(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> ImageData:
    """The subset below `folder`, known by its content, with some arrays changed afterwards."""
    rng = np.random.default_rng(1)
    arrays = {
        name: rng.integers(0, 256 if name[0] == "x" else 10, shape, np.uint8)
        for name, shape in cifar10.SUBSET_SHAPES.items()
    }
    content = b"".join(array.tobytes() for array in arrays.values())
    monkeypatch.setattr(cifar10, "SUBSET_MD5", hashlib.md5(content).hexdigest())
    written = {name: value for name, value in (arrays | changes).items() if value is not None}
    (folder / "cifar10").mkdir(exist_ok=True)
    np.savez_compressed(
        folder / "cifar10" / "cifar10_16k4k.npz", classes=np.array(cifar10.CLASSES), **written
    )
    return ImageData(
        *(array.reshape(len(array), -1) if array.ndim > 1 else array for array in arrays.values())
    )


def assert_same(read: ImageData, expected: ImageData) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name), strict=True)


def test_the_unpacked_files_become_pictures_with_the_colours_last(tmp_path: Path) -> None:
    data = unpack(tmp_path)
    assert_same(load_cifar10(tmp_path), data)


def test_the_archive_is_read_without_unpacking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pack(tmp_path, monkeypatch)
    assert_same(load_cifar10(tmp_path), data)
    assert [path.name for path in (tmp_path / "cifar10").iterdir()] == ["cifar-10-binary.tar.gz"]


def test_the_subset_is_read_where_it_is_all_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = reduced(tmp_path, monkeypatch)
    assert_same(load_cifar10(tmp_path), data)
    with pytest.raises(
        DataError,
        match=r"expected the file cifar-10-binary\.tar\.gz in .*cifar10, got none, and it ",
    ):
        load_cifar10(tmp_path, complete=True)


@pytest.mark.parametrize("complete", [True, False])
def test_the_complete_set_is_taken_before_the_subset(
    complete: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced(tmp_path, monkeypatch)
    data = pack(tmp_path, monkeypatch)
    assert_same(load_cifar10(tmp_path, complete=complete), data)
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").unlink()
    unpack(tmp_path)
    assert_same(load_cifar10(tmp_path, complete=complete), data)


def test_missing_data_names_file_folder_and_source(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path)
    assert f"expected the file cifar-10-binary.tar.gz in {tmp_path / 'cifar10'}, got none" in str(
        caught.value
    )
    assert "https://www.cs.toronto.edu/~kriz/cifar.html" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def refusal(folder: Path, path: Path) -> str:
    """What is wrong with `path`, and the cure."""
    with pytest.raises(DataError) as caught:
        load_cifar10(folder)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "(public source: https://www.cs.toronto.edu/~kriz/cifar.html)" in message
    assert caught.value.__suppress_context__
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", cifar10.BATCHES)
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda data: data[:-1], "expected 7 records of 3073 bytes, got 21510 bytes in all; "),
        (lambda data: data + b"\0", "expected 7 records of 3073 bytes, got 21512 bytes in all; "),
        (lambda data: b"", "expected 7 records of 3073 bytes, got 0 bytes in all; "),
        (
            lambda data: data[: 6 * 3073] + b"\x0a" + data[6 * 3073 + 1 :],
            "expected classes from 0 to 9, got 10; ",
        ),
        (None, "expected a readable file, got none (No such file or directory); "),
    ],
    ids=["cut", "longer", "empty", "a class too many", "missing"],
)
def test_damaged_records_are_refused(
    name: str, damage: Callable[[bytes], bytes] | None, problem: str, tmp_path: Path
) -> None:
    unpack(tmp_path)
    path = tmp_path / "cifar10" / "cifar-10-batches-bin" / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    assert refusal(tmp_path, path).startswith(f"{problem}move {path.parent} away")


def test_a_damaged_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path, monkeypatch)
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: expected a file with md5 "):
        load_cifar10(tmp_path)


def test_an_archive_without_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(tmp_path, monkeypatch, leave_out="test_batch.bin")
    with pytest.raises(
        DataError,
        match=r"expected test_batch.bin in the archive, got batches.meta.txt, data_batch_1",
    ):
        load_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"y_test": None}, "expected arrays x_train, y_train, x_test, y_test in an npz file, got "),
        (
            {"y_train": np.array(["cat"] * 3, object)},
            "expected arrays x_train, y_train, x_test, y_test in an npz",
        ),
        (
            {"x_test": np.zeros((2, 3, 32, 32), np.uint8)},
            "expected x_test uint8 (2, 32, 32, 3), got uint8 (2, 3, 32,",
        ),
        ({"y_test": np.zeros(2, np.int64)}, "expected y_test uint8 (2,), got int64 (2,); "),
        ({"y_test": np.full(2, 10, np.uint8)}, "expected the first pictures of CIFAR-10 with md5 "),
    ],
    ids=["missing", "pickled", "channels first", "integers", "others"],
)
def test_another_subset_is_refused(
    changes: dict[str, Any], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced(tmp_path, monkeypatch, **changes)
    path = tmp_path / "cifar10" / "cifar10_16k4k.npz"
    message = refusal(tmp_path, path)
    assert message.startswith(problem)
    assert f"; move {path} away" in message


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_what_is_no_npz_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cifar10" / "cifar10_16k4k.npz"
    path.parent.mkdir()
    path.write_bytes(content)
    assert refusal(tmp_path, path).startswith(
        "expected arrays x_train, y_train, x_test, y_test in an npz file, got "
    )


@given(st.integers(0, 2**32), st.integers(1, 255))
def test_a_flipped_byte_of_the_subset_changes_nothing_or_is_refused(place: int, by: int) -> None:
    rng = np.random.default_rng(2)
    arrays = {
        name: rng.integers(0, 10, shape, np.uint8) for name, shape in cifar10.SUBSET_SHAPES.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        content = b"".join(array.tobytes() for array in arrays.values())
        patch.setattr(cifar10, "SUBSET_MD5", hashlib.md5(content).hexdigest())
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        damaged = bytearray(file.getvalue())
        damaged[place % len(damaged)] ^= by
        try:
            read = cifar10.parse_subset(bytes(damaged))
        except DataError:
            return
        np.testing.assert_array_equal(read.x_train, arrays["x_train"].reshape(3, -1), strict=True)


def test_the_real_subset_is_read(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not Path(data_dir, "cifar10").is_dir():
        pytest.skip("needs the folder cifar10 in the folder that AOPNP_DATA_DIR names")
    data = load_cifar10(data_dir)
    x_train, y_train = data.x_train[:16000], data.y_train[:16000]
    assert x_train.shape == (16000, 3072)
    assert [*y_train[:10]] == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert [*np.bincount(y_train)] == [1591, 1587, 1649, 1618, 1610, 1519, 1644, 1616, 1613, 1553]
    assert [*np.bincount(data.y_test[:4000])] == [389, 392, 426, 389, 400, 388, 396, 397, 408, 415]
    # Of all pictures the channels' means are .4914 .4822 .4465: blue is the darkest, and neighbours
    # are alike.
    pixels = x_train.reshape(-1, 32, 32, 3) / 255
    np.testing.assert_allclose(pixels.mean((0, 1, 2)), [0.4914, 0.4822, 0.4465], atol=0.003)
    assert np.abs(np.diff(pixels, axis=2)).mean() < 0.06
