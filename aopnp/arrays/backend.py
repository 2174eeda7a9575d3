"""The array-module switch: the same code runs on NumPy arrays, CuPy arrays and a simulated GPU.

`array_module` looks at the arrays themselves, so nothing has to be configured, and a program that
does not use CuPy never imports it. Data moves between host and device only where the code calls
`to_host`, `to_device` or the array module's `asarray`.
"""

import functools
import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A NumPy array or a CuPy array. The two share the interface that this package uses."""

DEVICES = {"cpu": "numpy", "gpu": "cupy", "cuda-sim": "aopnp.arrays.cuda_sim.device"}
"""Device -> name of the array module whose arrays lie on it."""

CURE = (
    "install CuPy for the driver here: pip install 'aopnp[cuda13]' (or 'aopnp[cuda12]'), never both"
)

_DOUBLE = """extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }"""
"""The kernel that `probe` launches: it doubles each number of x."""


def array_module(*arrays: object) -> ModuleType:
    """Return the array module that all `arrays` belong to; numpy for Python numbers.

    Raises TypeError where arrays of different kinds are mixed: no data moves unseen.
    """
    # This function is called in every step, and by far the most often with NumPy arrays alone.
    if {*map(type, arrays)} == {np.ndarray}:
        return np
    kinds = {kind for kind in map(_kind, arrays) if kind}
    if len(kinds) > 1:
        raise TypeError(
            f"expected arrays of one kind, got {' and '.join(sorted(kinds))} together; "
            "move one of them with to_device or to_host"
        )
    if not kinds:
        return np
    return importlib.import_module(kinds.pop())


def _kind(array: object) -> str | None:
    """Return the name of the array module of `array`; None for a number, which fits them all."""
    module = type(array).__module__
    if module == DEVICES["cuda-sim"]:
        return module
    if module.split(".")[0] == "cupy":
        return "cupy"
    if isinstance(array, np.ndarray) and array.ndim:
        return "numpy"
    return None


def to_host(array: Array) -> Array:
    """Return `array` as a NumPy array: a copy of a device array, else `array` itself."""
    xp = array_module(array)
    if xp is np:
        return array
    return xp.asnumpy(array)


def to_device(array: Array, device: str = "gpu") -> Array:
    """Return `array` on `device`, one of DEVICES.

    Raises ValueError for another device, and RuntimeError with the reason and the cure where the
    device does not work.
    """
    if device not in DEVICES:
        raise ValueError(f"expected a device among {', '.join(DEVICES)}, got {device!r}")
    works, reason = probe(device)
    if not works:
        message = f"expected a working device {device}, got none: {reason}"
        if device == "gpu":
            message += f"; {CURE}"
        raise RuntimeError(message)
    return importlib.import_module(DEVICES[device]).asarray(array)


def replica_factors(value: float | Array, like: Array) -> Array:
    """Return `value`, a number or [R], as an array that multiplies `like` [R, ...] by replica.

    The array has as many axes as `like`, the dtype of `like`, and lies on the device of `like`.
    """
    values: Array = array_module(like).asarray(value, like.dtype)
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def has_gpu() -> tuple[bool, str]:
    """Return (works, reason) of the device "gpu"."""
    return probe("gpu")


@functools.cache
def probe(device: str) -> tuple[bool, str]:
    """Return (works, reason): whether `device` runs a kernel and multiplies two matrices rightly.

    The kernel doubles four floats, which then form a 2 x 2 matrix that is multiplied by itself. The
    reason names the device and the version of its array module, or says why it does not work.
    """
    if device == "cpu":
        return True, f"NumPy {np.__version__}"
    try:
        if device == "gpu":
            _check_one_cupy()
        xp = importlib.import_module(DEVICES[device])
        properties = xp.cuda.runtime.getDeviceProperties(_first(xp))
        name = properties["name"].decode()
        x = xp.asarray(np.arange(4, dtype=np.float32))
        xp.RawKernel(_DOUBLE, "twice")((1,), (4,), (x,))
        matrix = x.reshape(2, 2)
        got = to_host(matrix @ matrix)
    except ImportError as error:
        return False, f"CuPy cannot be imported: {error}"
    # A driver can fail in many ways: each of them is a reason that is reported.
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
    if not np.array_equal(got, [[8, 12], [24, 44]]):
        return False, f"{name} computes wrongly: {got.tolist()} for [[8, 12], [24, 44]]"
    return True, f"{name} with {xp.__name__} {xp.__version__}"


def _first(xp: Any) -> int:
    """Return the number of the first device; RuntimeError where there is none."""
    if not xp.cuda.runtime.getDeviceCount():
        raise RuntimeError("no device was found")
    return 0


def _check_one_cupy() -> None:
    """Raise RuntimeError for two builds of CuPy at once: they overwrite each other's files."""
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
