"""IDX, the format of MNIST: magic number 00 00 type n, then n dimensions, then the values, last axis fastest.

Magic number and dimensions are big-endian 32-bit integers; type 08 means unsigned bytes.
Source: LeCun, Cortes, Burges, The MNIST database of handwritten digits.
"""

import math
import struct

import numpy as np
from numpy.typing import NDArray

from aopnp.data.files import DataError

UNSIGNED_BYTES = 0x0800


def parse(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Values uint8 [*shape] of an IDX file; DataError where magic number, dimensions or length differ."""
    header = struct.Struct(f">{1 + len(shape)}I")
    if len(data) < header.size:
        raise DataError(
            f"expected an IDX header of {header.size} bytes, got {len(data)} bytes in all"
        )
    magic, *dimensions = header.unpack_from(data)
    if magic != UNSIGNED_BYTES + len(shape):
        raise DataError(f"expected the IDX magic number {UNSIGNED_BYTES + len(shape)}, got {magic}")
    if tuple(dimensions) != shape:
        raise DataError(f"expected the shape {shape}, got {tuple(dimensions)}")
    values = np.frombuffer(data, np.uint8, offset=header.size)
    if values.size != math.prod(shape):
        raise DataError(f"expected {math.prod(shape)} values, got {values.size}")
    return values.reshape(shape).copy()  # a copy can be written to, a view of bytes cannot
