"""The IDX parser: what it reads, and every way in which a file can be none."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aopnp.data import DataError
from aopnp.data.idx import parse


def written(values: np.ndarray) -> bytes:
    """The IDX file of unsigned bytes, from the format's description."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=7)))
def test_parse_undoes_writing(values: np.ndarray) -> None:
    read = parse(written(values), values.shape)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values, strict=True)
    assert read.flags.writeable
    assert read.flags.c_contiguous


def test_sizes_above_a_byte_are_big_endian() -> None:
    data = bytes([0, 0, 8, 2, 0, 0, 1, 2, 0, 0, 0, 1]) + bytes(258)
    assert parse(data, (258, 1)).shape == (258, 1)


IMAGES = written(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))


@given(st.integers(0, len(IMAGES) - 1))
def test_every_truncation_is_refused(size: int) -> None:
    message = (
        "expected an IDX header of 16 bytes"
        if size < 16
        else f"expected 12 values, got {size - 16}$"
    )
    with pytest.raises(DataError, match=message):
        parse(IMAGES[:size], (3, 2, 2))


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected 12 values, got 13$"):
        parse(IMAGES + b"\0", (3, 2, 2))


@pytest.mark.parametrize(
    "magic",
    [0x0801, 0x0802, 0x0804, 0x0903, 0x0D03, 0x01000803, 0x03080000],
    ids=["labels", "two axes", "four axes", "signed", "floats", "no zeros", "little-endian"],
)
def test_a_wrong_magic_number_is_refused(magic: int) -> None:
    data = struct.pack(">I", magic) + IMAGES[4:]
    with pytest.raises(DataError, match=f"expected the IDX magic number 2051, got {magic}$"):
        parse(data, (3, 2, 2))


@pytest.mark.parametrize("shape", [(3, 4, 1), (2, 3, 2), (4, 2, 2), (2, 2, 2)])
def test_a_wrong_shape_is_refused_even_of_the_same_size(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError) as caught:
        parse(IMAGES, shape)
    assert str(caught.value) == f"expected the shape {shape}, got (3, 2, 2)"
