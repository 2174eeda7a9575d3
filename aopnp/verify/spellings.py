"""Every kernel against its reference spelling, on arguments made from its signature."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aopnp.arrays.backend import Array, to_device, to_host
from aopnp.arrays.kernels import Kernel
from aopnp.arrays.kernels.kernel import Argument
from aopnp.verify.strategies import dtypes, integers_in_floats

SPECIAL = [0.0, 1.0, -1.5, 3e-39, 1e19, -1e30, 3e38, np.inf, -np.inf, np.nan]
"""Values that go wrong elsewhere: subnormal, with squares that overflow float32, infinite, not a number."""

FIXED = {"G": 2, "V": 4}
"""Letters of one size: `geometry` is a stride and a padding, `window` two sizes and two strides."""


@st.composite
def arguments(
    draw: st.DrawFn, kernel: Kernel, *, special: bool = False, largest: int = 6
) -> tuple[list[Array], dict[str, int]]:
    """Arguments for `kernel`: letters are sizes, T is float32 or float64, integers are held in floats.

    With `special`, data may be any of SPECIAL. Index arguments are known by name: `rows` point into M, `columns`
    into N, `pixels` into H W; `count` runs up to K. A size that only outputs have is returned beside the arrays.
    """
    dtype = draw(dtypes)
    sizes = {letter: draw(st.integers(1, largest)) for letter in kernel.letters}
    if "K" in sizes:
        sizes["K"] = min(sizes["K"], sizes.get("M", sizes.get("S", largest)))
    sizes |= {letter: size for letter, size in FIXED.items() if letter in sizes}
    if "Q" in sizes:  # bytes of one bit plane
        sizes["S"] = draw(st.integers(1, 3 * 8))
        sizes["Q"] = -(-sizes["S"] // 8)
    given = {letter for a in kernel.inputs for letter in a.axes}

    def argument(name: str, kind: str, axes: tuple[str, ...]) -> Array:
        shape = tuple(
            draw(st.sampled_from([1, sizes["R"]])) if x == "R|1" else sizes[x] for x in axes
        )
        if kind == "uint8":
            return draw(
                hnp.arrays(np.uint8, shape, elements=st.integers(0, sizes.get("L", 256) - 1))
            )
        if kind == "bool":
            return draw(hnp.arrays(np.bool_, shape))
        if kind == "int64":
            low, high = {
                "rows": (0, sizes.get("M", 1) - 1),
                "count": (1, sizes.get("K", 1)),
                "label": (-1, sizes.get("P", 1)),  # beyond the classes on both sides
                "samples": (0, sizes.get("D", 1) - 1),
                "key": (-(2**63), 2**63 - 1),
                "counter": (-(2**63), 2**63 - 1),
                "columns": (0, sizes.get("N", 1) - 1),
                "geometry": (0, 2),
                "window": (1, 3),
                "pixels": (0, sizes.get("H", 1) * sizes.get("W", 1) - 1),
            }[name]
            return draw(hnp.arrays(np.int64, shape, elements=st.integers(low, high)))
        target = np.dtype(dtype if kind == "T" else kind)
        if special and name != "weights":
            return draw(hnp.arrays(np.float64, shape, elements=st.sampled_from(SPECIAL))).astype(
                target
            )
        return draw(integers_in_floats(shape, target.type))

    with np.errstate(over="ignore"):
        arrays = [argument(a.name, a.dtype, a.axes) for a in kernel.inputs]
    for a, array in zip(kernel.inputs, arrays, strict=True):
        if a.name == "count" and "K" not in given:
            array[draw(st.integers(0, len(array) - 1))] = sizes["K"]  # K is the largest count
        if a.name == "geometry":
            array[0] = max(array[0], 1)  # a stride; a padding may be 0
    return arrays, {x: n for x, n in sizes.items() if x not in given}


def agree(kernel: Kernel, arrays: list[Array], sizes: dict[str, int], device: str = "cpu") -> None:
    """Assert that the spelling of `device` returns and writes what the reference does.

    Data are equal bit for bit, or to the units in the last place that the kernel declares; float64 results, which are
    logarithms, to 1e-12 (a relative 1e-12 of the norm).
    """
    ours, expected = [to_device(a.copy(), device) for a in arrays], [a.copy() for a in arrays]
    with np.errstate(all="ignore"):
        _same(
            kernel(*ours, **sizes),
            kernel.reference(*expected, **sizes),
            kernel.outputs,
            kernel.ulps,
        )
    _same(tuple(ours), tuple(expected), kernel.inputs)


def _same(ours: Any, expected: Any, arguments: list[Argument], ulps: int = 0) -> None:
    pairs = zip(
        *(x if isinstance(x, tuple) else (x,) * len(arguments) for x in (ours, expected)),
        strict=True,
    )
    for (device_result, wanted), argument in zip(pairs, arguments, strict=True):
        got = to_host(device_result)
        assert got.dtype == wanted.dtype
        if argument.dtype == "float64":
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)
        elif ulps:
            tolerance = ulps * np.finfo(wanted.dtype).eps
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(got, wanted)
