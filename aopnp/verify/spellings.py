"""Every kernel against its reference spelling, on arguments drawn from its signature."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aopnp.arrays.backend import Array, to_device, to_host
from aopnp.arrays.kernels import Kernel
from aopnp.arrays.kernels.kernel import Argument
from aopnp.verify.strategies import dtypes, integers_in_floats

SPECIAL = [0.0, 1.0, -1.5, 3e-39, 1e19, -1e30, 3e38, np.inf, -np.inf, np.nan]
"""Ordinary values, and values that go wrong elsewhere.

The latter are subnormal, have squares that overflow float32, are infinite, or are not a number.
"""

FIXED = {"G": 2, "V": 4}
"""Letters of one size: `geometry` is a stride and a padding, `window` two sizes and two strides."""


@st.composite
def arguments(
    draw: st.DrawFn, kernel: Kernel, *, special: bool = False, largest: int = 6
) -> tuple[list[Array], dict[str, int]]:
    """Arguments for `kernel`, and the sizes of the letters that only its outputs have.

    Letters are sizes from 1 to `largest`, T is float32 or float64, and data are integers held in
    floats; with `special`, data may be any of SPECIAL. Index arguments are known by name: `rows`
    point into M, `columns` into N, `pixels` into H W; `count` runs up to K.
    """
    dtype = draw(dtypes)
    sizes = _draw_sizes(draw, kernel, largest)
    arrays = []
    with np.errstate(over="ignore"):
        for argument in kernel.inputs:
            arrays.append(_draw_array(draw, argument, sizes, dtype, special))
    given = {letter for argument in kernel.inputs for letter in argument.axes}
    for argument, array in zip(kernel.inputs, arrays, strict=True):
        if argument.name == "count" and "K" not in given:
            # K is the largest count.
            array[draw(st.integers(0, len(array) - 1))] = sizes["K"]
        if argument.name == "geometry":
            # The first entry is a stride, at least 1; the second is a padding, which may be 0.
            array[0] = max(array[0], 1)
    only_in_outputs = {letter: n for letter, n in sizes.items() if letter not in given}
    return arrays, only_in_outputs


def _draw_sizes(draw: st.DrawFn, kernel: Kernel, largest: int) -> dict[str, int]:
    """Return a size for every letter of the signature."""
    sizes = {}
    for letter in kernel.letters:
        sizes[letter] = draw(st.integers(1, largest))
    if "K" in sizes:
        candidates = sizes.get("M", sizes.get("S", largest))
        sizes["K"] = min(sizes["K"], candidates)
    for letter, size in FIXED.items():
        if letter in sizes:
            sizes[letter] = size
    if "Q" in sizes:
        # Q is the number of bytes of one plane of S bits.
        sizes["S"] = draw(st.integers(1, 3 * 8))
        sizes["Q"] = -(-sizes["S"] // 8)
    return sizes


def _draw_array(
    draw: st.DrawFn, argument: Argument, sizes: dict[str, int], dtype: type, special: bool
) -> Array:
    """Return an array of the argument's shape and kind; T is `dtype`."""
    lengths = []
    for axis in argument.axes:
        if axis == "R|1":
            lengths.append(draw(st.sampled_from([1, sizes["R"]])))
        else:
            lengths.append(sizes[axis])
    shape = tuple(lengths)
    kind = argument.dtype
    if kind == "bool":
        return draw(hnp.arrays(np.bool_, shape))
    if kind == "uint8":
        values = st.integers(0, sizes.get("L", 256) - 1)
        return draw(hnp.arrays(np.uint8, shape, elements=values))
    if kind == "int64":
        values = st.integers(*_bounds(argument.name, sizes))
        return draw(hnp.arrays(np.int64, shape, elements=values))
    if kind == "T":
        kind = np.dtype(dtype).name
    if special and argument.name != "weights":
        floats = hnp.arrays(np.float64, shape, elements=st.sampled_from(SPECIAL))
        return draw(floats).astype(kind)
    return draw(integers_in_floats(shape, np.dtype(kind).type))


def _bounds(name: str, sizes: dict[str, int]) -> tuple[int, int]:
    """Return the least and the largest value of the integer argument `name`."""
    pixels = sizes.get("H", 1) * sizes.get("W", 1)
    bounds = {
        "rows": (0, sizes.get("M", 1) - 1),
        "count": (1, sizes.get("K", 1)),
        # One value beyond the classes on either side.
        "label": (-1, sizes.get("P", 1)),
        "samples": (0, sizes.get("D", 1) - 1),
        "key": (-(2**63), 2**63 - 1),
        "counter": (-(2**63), 2**63 - 1),
        "columns": (0, sizes.get("N", 1) - 1),
        "geometry": (0, 2),
        "window": (1, 3),
        "pixels": (0, pixels - 1),
    }
    return bounds[name]


def agree(kernel: Kernel, arrays: list[Array], sizes: dict[str, int], device: str = "cpu") -> None:
    """Assert that the spelling of `device` returns and writes the same as the reference.

    Data are equal bit for bit, or to the units in the last place that the kernel declares. Results
    in float64, which are logarithms, agree to 1e-12 (a relative 1e-12 of the norm).
    """
    ours = [to_device(array.copy(), device) for array in arrays]
    expected = [array.copy() for array in arrays]
    with np.errstate(all="ignore"):
        result = kernel(*ours, **sizes)
        reference = kernel.reference(*expected, **sizes)
        _same(result, reference, kernel.outputs, kernel.ulps)
    _same(tuple(ours), tuple(expected), kernel.inputs)


def _same(ours: Any, expected: Any, arguments: list[Argument], ulps: int = 0) -> None:
    """Assert that two results are equal; `arguments` say how exactly each array must agree.

    A result is an array, a tuple of arrays, or None for no arguments.
    """
    if not isinstance(ours, tuple):
        ours = (ours,) * len(arguments)
    if not isinstance(expected, tuple):
        expected = (expected,) * len(arguments)
    for ours_one, wanted, argument in zip(ours, expected, arguments, strict=True):
        got = to_host(ours_one)
        assert got.dtype == wanted.dtype
        if argument.dtype == "float64":
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)
        elif ulps:
            tolerance = ulps * np.finfo(wanted.dtype).eps
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(got, wanted)
