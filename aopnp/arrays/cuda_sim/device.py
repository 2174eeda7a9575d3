"""The simulated device: an array module like CuPy, with arrays in host memory.

The arrays are as strict as the arrays of a GPU. Mixing a device array with a NumPy array raises an
error; a device array becomes a NumPy array only through `asnumpy`; and reading a value (`float`,
`bool`, `asnumpy`) counts as waiting for the device. Array functions are those of NumPy. `RawKernel`
runs CUDA source, slowly (see `aopnp.arrays.cuda_sim.raw_kernel`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from aopnp.arrays.cuda_sim import raw_kernel

__version__ = np.__version__


class DeviceArray(NDArrayOperatorsMixin):
    """An array of the simulated device.

    It has the attributes and methods of a NumPy array; their results lie on the device.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray[Any, Any]) -> None:
        self._host = host

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("a device array does not turn into a NumPy array by itself; use to_host")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _on_device(getattr(ufunc, method))(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _on_device(function)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # The names of protocols by which NumPy would read the array.
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._host, name)
        if callable(value):
            return _on_device(value)
        return _to_device(value)

    def __getitem__(self, key: Any) -> Any:
        return _to_device(self._host[_to_host(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._host[_to_host(key)] = _to_host(value)

    def __len__(self) -> int:
        return len(self._host)

    def __bool__(self) -> bool:
        return bool(asnumpy(self))

    def __float__(self) -> float:
        return float(asnumpy(self))

    def __int__(self) -> int:
        return int(asnumpy(self))

    __index__ = __int__

    def __repr__(self) -> str:
        return f"DeviceArray({self._host!r})"


class RawKernel(raw_kernel.RawKernel):
    """CUDA source that runs on device arrays; the compiler options of a real GPU are ignored."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
        super().__init__(code, name)

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
    ) -> None:
        """Launch on `grid` blocks of `block` threads; args are device arrays and NumPy scalars."""
        on_host = [_to_host(a) for a in args]
        super().__call__(grid, block, on_host, shared_mem=shared_mem)


def asarray(array: Any, dtype: Any = None) -> DeviceArray:
    """Return a device array: a copy of host data, or the device array that was given.

    It is cast to `dtype` if there is one.
    """
    if isinstance(array, DeviceArray):
        return DeviceArray(np.asarray(array._host, dtype))
    return DeviceArray(np.array(array, dtype))


def asnumpy(array: DeviceArray) -> np.ndarray[Any, Any]:
    """Return a copy in host memory; this waits for the device.

    Raises RuntimeError inside `no_waiting`.
    """
    if _waiting_forbidden:
        raise RuntimeError("the host waits for the device where it must not")
    return array._host.copy()


_waiting_forbidden: list[bool] = []


@contextmanager
def no_waiting() -> Iterator[None]:
    """Forbid reading values from the device inside: a training step must not synchronise.

    A read raises RuntimeError.
    """
    _waiting_forbidden.append(True)
    try:
        yield
    finally:
        _waiting_forbidden.pop()


def _properties(device: int) -> dict[str, bytes]:
    return {"name": b"a GPU simulated on the CPU (slow)"}


def _count() -> int:
    works, reason = raw_kernel.works()
    if not works:
        raise RuntimeError(reason)
    return 1


class Event:
    """A point in time, as `cupy.cuda.Event`.

    The host never runs ahead of the simulated device, so the time is that of the host's clock.
    """

    def record(self) -> None:
        """Note the time."""
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Return at once: there is nothing to wait for."""


def _elapsed_milliseconds(start: Event, stop: Event) -> float:
    return 1000 * (stop.time - start.time)


cuda = SimpleNamespace(
    Event=Event,
    get_elapsed_time=_elapsed_milliseconds,
    runtime=SimpleNamespace(getDeviceCount=_count, getDeviceProperties=_properties),
)


def __getattr__(name: str) -> Any:
    """Return NumPy's function `name` for device arrays; a constant or a type unchanged."""
    value = getattr(np, name)
    if callable(value) and not isinstance(value, type):
        return _on_device(value)
    return value


def _on_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a NumPy `function` that takes device arrays and returns device arrays."""

    def call(*args: Any, **kwargs: Any) -> Any:
        named = {name: _to_host(value) for name, value in kwargs.items()}
        return _to_device(function(*_to_host(args), **named))

    return call


def _to_host(value: Any) -> Any:
    """Return `value` with the host arrays inside device arrays in their place.

    Raises TypeError for a NumPy array.
    """
    if isinstance(value, DeviceArray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(
            f"expected device arrays, got a NumPy array of shape {value.shape}; "
            "move it with to_device"
        )
    if type(value) in (tuple, list):
        return type(value)(map(_to_host, value))
    return value


def _to_device(value: Any) -> Any:
    """Return `value` with device arrays in the place of NumPy arrays.

    NumPy scalars become device arrays without axes, as on a GPU.
    """
    if isinstance(value, np.ndarray | np.bool_ | np.number):
        return DeviceArray(np.asarray(value))
    # A named tuple, which decompositions of matrices return.
    if hasattr(value, "_fields"):
        return type(value)(*map(_to_device, value))
    if type(value) in (tuple, list):
        return type(value)(map(_to_device, value))
    return value
