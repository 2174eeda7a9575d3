"""The array-module switch: the same code runs on NumPy arrays, on CuPy arrays, and on a simulated GPU.

`array_module` looks at the arrays themselves, so nothing has to be configured, and CuPy is never imported by a
program that does not use it. Data moves between host and device only where `to_host`, `to_device` or the array
module's `asarray` is written.
"""

import functools
import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A NumPy array, or a CuPy array: the two share the interface that is used here."""

DEVICES = {"cpu": "numpy", "gpu": "cupy", "cuda-sim": "aopnp.arrays.cuda_sim.device"}
"""Device -> the array module that keeps its arrays there."""

CURE = (
    "install CuPy for the driver here: pip install 'aopnp[cuda13]' (or 'aopnp[cuda12]'), never both"
)

_DOUBLE = """extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }"""


def array_module(*arrays: object) -> ModuleType:
    """Return the array module that all `arrays` belong to (numpy for Python numbers).

    Raises TypeError where arrays of different kinds are mixed: no data moves between devices unseen.
    """
    if {*map(type, arrays)} == {np.ndarray}:
        return np  # by far the most frequent case, and this is called in every step
    kinds = {kind for kind in map(_kind, arrays) if kind}
    if len(kinds) > 1:
        raise TypeError(
            f"expected arrays of one kind, got {' and '.join(sorted(kinds))} together; "
            "move one of them with to_device or to_host"
        )
    return importlib.import_module(kinds.pop()) if kinds else np


def _kind(array: object) -> str | None:
    """Return the array module of `array`; None for numbers, which go with every kind."""
    module = type(array).__module__
    if module == DEVICES["cuda-sim"] or module.split(".")[0] == "cupy":
        return DEVICES["cuda-sim"] if module == DEVICES["cuda-sim"] else "cupy"
    return "numpy" if isinstance(array, np.ndarray) and array.ndim else None


def to_host(array: Array) -> Array:
    """Return `array` as a NumPy array; a copy if it lay on a device, else the array itself."""
    xp = array_module(array)
    return array if xp is np else xp.asnumpy(array)


def to_device(array: Array, device: str = "gpu") -> Array:
    """Return `array` on `device`, one of DEVICES. Raises RuntimeError with reason and cure where it does not work."""
    if device not in DEVICES:
        raise ValueError(f"expected a device among {', '.join(DEVICES)}, got {device!r}")
    works, reason = probe(device)
    if not works:
        cure = f"; {CURE}" if device == "gpu" else ""
        raise RuntimeError(f"expected a working device {device}, got none: {reason}{cure}")
    return importlib.import_module(DEVICES[device]).asarray(array)


def replica_factors(value: float | Array, like: Array) -> Array:
    """Return a number or [R] as an array that multiplies `like` [R, ...] replica by replica.

    The array has the dtype of `like` and lies on its device.
    """
    values: Array = array_module(like).asarray(value, like.dtype)
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def has_gpu() -> tuple[bool, str]:
    """Return (works, reason) of the device "gpu"."""
    return probe("gpu")


@functools.cache
def probe(device: str) -> tuple[bool, str]:
    """Return (works, reason): whether `device` can launch a kernel on four floats and multiply two matrices."""
    if device == "cpu":
        return True, f"NumPy {np.__version__}"
    try:
        if device == "gpu":
            _check_one_cupy()
        xp = importlib.import_module(DEVICES[device])
        name = xp.cuda.runtime.getDeviceProperties(_first(xp))["name"].decode()
        x = xp.asarray(np.arange(4, dtype=np.float32))
        xp.RawKernel(_DOUBLE, "twice")((1,), (4,), (x,))
        got = to_host(x.reshape(2, 2) @ x.reshape(2, 2))
    except ImportError as error:
        return False, f"CuPy cannot be imported: {error}"
    except (
        Exception
    ) as error:  # a driver can fail in many ways: each of them is the reason that is reported
        return False, f"{type(error).__name__}: {error}"
    if not np.array_equal(got, [[8, 12], [24, 44]]):
        return False, f"{name} computes wrongly: {got.tolist()} for [[8, 12], [24, 44]]"
    return True, f"{name} with {xp.__name__} {xp.__version__}"


def _first(xp: Any) -> int:
    if not xp.cuda.runtime.getDeviceCount():
        raise RuntimeError("no device was found")
    return 0


def _check_one_cupy() -> None:
    """Raise RuntimeError where two builds of CuPy overwrite each other's files."""
    found = []
    for name in ("cupy-cuda12x", "cupy-cuda13x"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    if len(found) > 1:
        raise RuntimeError(
            f"{' and '.join(found)} are installed together; uninstall both, then install one"
        )
