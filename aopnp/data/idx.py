"""IDX, the file format of MNIST.

    magic number 00 00 type n, then n dimensions, then the values with the last axis fastest

The magic number and the dimensions are big-endian 32-bit integers. Type 08 means unsigned bytes.
Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits.
"""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from aopnp.data.files import DataError

UNSIGNED_BYTES = 0x0800


def parse(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the values of an IDX file, uint8 [*shape].

    Raises DataError where the magic number, the dimensions or the length of `data` differ.
    """
    header = struct.Struct(f">{1 + len(shape)}I")
    if len(data) < header.size:
        raise DataError(
            f"expected an IDX header of {header.size} bytes, got {len(data)} bytes in all"
        )
    magic, *dimensions = header.unpack_from(data)
    expected = UNSIGNED_BYTES + len(shape)
    if magic != expected:
        raise DataError(f"expected the IDX magic number {expected}, got {magic}")
    if tuple(dimensions) != shape:
        raise DataError(f"expected the shape {shape}, got {tuple(dimensions)}")
    values = np.frombuffer(data, np.uint8, offset=header.size)
    if values.size != math.prod(shape):
        raise DataError(f"expected {math.prod(shape)} values, got {values.size}")
    # A copy can be written to; an array that shares the memory of bytes cannot.
    return values.reshape(shape).copy()
