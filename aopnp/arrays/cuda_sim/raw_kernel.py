"""RawKernel: the interface of cupy.RawKernel on NumPy arrays.

Arguments are checked where a GPU would read garbage.
"""

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from aopnp.arrays.cuda_sim.compiler import (
    SimulationError,
    preloaded,
    sanitizer_environment,
    shared_library,
)

ORDERS = ("forward", "reverse", "random")
"""Orders in which the blocks of a launch and the threads of a block take turns.

Their numbers are those of `Order` in launch.h.
"""

# Every GPU since 2014 can launch within these limits.
LIMITS = {"grid": (2**31 - 1, 65535, 65535), "block": (1024, 1024, 64)}
"""The largest sizes of a grid (in blocks) and of a block (in threads)."""
THREADS = 1024
"""The largest number of threads in a block."""
SHARED = 48 * 1024
"""The largest number of bytes of shared memory."""

_order: ContextVar[tuple[str, int]] = ContextVar("thread order", default=("forward", 0))


class Parameter(NamedTuple):
    """One parameter of a kernel, from its C++ declaration: a number, or a pointer to numbers."""

    dtype: np.dtype[Any]
    pointer: bool
    written: bool


class _Launch(ctypes.Structure):
    """The struct Launch of machine.h."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_size_t),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint64),
        ("thread", ctypes.c_void_p),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
    )


class RawKernel:
    """The kernel `name` of CUDA source `code`, run on the CPU.

    With a `sanitizer`, its memory accesses are watched.
    """

    def __init__(self, code: str, name: str, *, sanitizer: str | None = None) -> None:
        """Compile the kernel.

        Raises SimulationError where that fails or the sanitizer's library is not in this process,
        and ValueError where there is no such sanitizer.
        """
        if sanitizer is not None:
            _check_loaded(sanitizer)
        # PyDLL keeps Python's lock during a call: the simulated machine runs one launch at a time.
        library = ctypes.PyDLL(str(shared_library(code, name, sanitizer)))
        self.name = name
        self.parameters = _parameters(library)
        self._run = library.cuda_sim_run
        self._run.restype = ctypes.c_char_p

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Any],
        *,
        shared_mem: int = 0,
    ) -> None:
        """Launch on `grid` blocks of `block` threads.

        args are C-contiguous NumPy arrays and NumPy scalars; `shared_mem` is in bytes. Raises
        TypeError or ValueError where an argument does not fit its parameter, and SimulationError
        where the sizes of the launch are wrong or the kernel relies on behaviour that CUDA leaves
        undefined.
        """
        if len(args) != len(self.parameters):
            raise TypeError(
                f"{self.name}: expected {len(self.parameters)} arguments, got {len(args)}"
            )
        cells = []
        for i, (parameter, argument) in enumerate(zip(self.parameters, args, strict=True)):
            cells.append(self._cell(i, parameter, argument))
        addresses = [cell.ctypes.data for cell in cells]
        order, seed = _order.get()
        launch = _Launch(
            grid=self._sizes("grid", grid),
            block=self._sizes("block", block),
            shared=self._bounded("bytes of dynamic shared memory", shared_mem, 0, SHARED),
            order=ORDERS.index(order),
            seed=seed,
            arguments=(ctypes.c_void_p * len(cells))(*addresses),
        )
        fault = self._run(ctypes.byref(launch)).decode()
        if fault:
            raise SimulationError(f"{self.name}: {fault}")

    def _cell(self, i: int, parameter: Parameter, argument: Any) -> np.ndarray[Any, Any]:
        """Return an array with the bytes that the kernel receives as argument number i.

        They are a number, or the address of an array. Raises TypeError or ValueError where
        `argument` does not fit `parameter`.
        """
        expected = f"{self.name}: expected argument {i} to be"
        if not parameter.pointer:
            if not isinstance(argument, np.generic) or argument.dtype != parameter.dtype:
                wanted = parameter.dtype.type.__name__
                raise TypeError(
                    f"{expected} a scalar of type {wanted}, got {_kind(argument)}; "
                    f"write np.{wanted}(...)"
                )
            return np.array(argument)
        if not isinstance(argument, np.ndarray) or argument.dtype != parameter.dtype:
            raise TypeError(
                f"{expected} an array of dtype {parameter.dtype}, got {_kind(argument)}; use astype"
            )
        if not (argument.flags.c_contiguous and argument.flags.aligned):
            raise ValueError(
                f"{expected} C-contiguous and aligned, got a view; use np.ascontiguousarray"
            )
        if parameter.written and not argument.flags.writeable:
            raise ValueError(
                f"{expected} writeable, got a read-only array; "
                "pass a copy or declare the pointer const"
            )
        return np.array(argument.ctypes.data, np.uintp)

    def _sizes(self, name: str, sizes: tuple[int, ...]) -> Any:
        """Return three sizes of a "grid" or a "block" for C; SimulationError beyond LIMITS."""
        if not 1 <= len(sizes) <= 3:
            raise SimulationError(f"{self.name}: expected a {name} of 1 to 3 sizes, got {sizes}")
        x, y, z = (*sizes, 1, 1)[:3]
        for axis, size, limit in zip("xyz", (x, y, z), LIMITS[name], strict=True):
            self._bounded(f"as size {axis} of the {name}", size, 1, limit)
        if name == "block":
            self._bounded("threads in a block", x * y * z, 1, THREADS)
        return (ctypes.c_uint * 3)(x, y, z)

    def _bounded(self, meaning: str, number: int, low: int, high: int) -> int:
        """Return `number`; SimulationError where it is not from `low` to `high`."""
        if not low <= number <= high:
            raise SimulationError(f"{self.name}: expected {low} to {high} {meaning}, got {number}")
        return number


@contextmanager
def thread_order(order: str, seed: int = 0) -> Iterator[None]:
    """Run the blocks and threads of all launches inside in `order`, one of ORDERS.

    A random order is drawn from `seed`. A correct kernel gives the same results in every order.
    Raises ValueError for another order.
    """
    if order not in ORDERS:
        raise ValueError(f"expected an order among {', '.join(ORDERS)}, got {order!r}")
    token = _order.set((order, seed))
    try:
        yield
    finally:
        _order.reset(token)


_DOUBLE = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'


@functools.cache
def works() -> tuple[bool, str]:
    """Return (works, reason): whether a kernel on four floats can be compiled and run here.

    If not, the reason says why.
    """
    x = np.ones(4, np.float32)
    try:
        RawKernel(_DOUBLE, "twice")((1,), (4,), (x,))
    except (SimulationError, OSError) as error:
        return False, str(error)
    if not (x == 2).all():
        return False, f"2 * 1 is computed as {x[0]}"
    return True, "g++ compiles kernels"


def _parameters(library: ctypes.CDLL) -> list[Parameter]:
    """Return the parameters of a compiled kernel, as entry.h describes them."""
    text = ctypes.create_string_buffer(2**16)
    library.cuda_sim_describe(text)
    parameters = []
    for declared in text.value.decode().split(";")[:-1]:
        constant = "const" in declared
        pointer = "*" in declared
        dtype = np.dtype(declared.removeprefix("const ").removesuffix("*"))
        parameters.append(Parameter(dtype, pointer, written=not constant))
    return parameters


def _check_loaded(sanitizer: str) -> None:
    """Raise SimulationError where the sanitizer's library is not loaded yet.

    Loaded later than at its start, the library would end the process.
    """
    library = preloaded(sanitizer)
    if library is None:
        return
    short_name = library[3:7]
    if not hasattr(ctypes.CDLL(None), f"__{short_name}_init"):
        preload = sanitizer_environment(sanitizer)["LD_PRELOAD"]
        raise SimulationError(
            f"expected a process with the {sanitizer} sanitizer in it, got one without; "
            f"start it with LD_PRELOAD={preload}"
        )


def _kind(argument: Any) -> str:
    """Return the kind of an argument in words, for an error."""
    if isinstance(argument, np.ndarray):
        return f"an array of dtype {argument.dtype}"
    return f"{type(argument).__name__} {argument}"
