"""RawKernel: the interface of cupy.RawKernel on NumPy arrays, checked where a GPU would read garbage."""

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
"""Orders in which the blocks of a launch, and the threads of a block, have their turns; numbered as in launch.h."""

LIMITS = {"grid": (2**31 - 1, 65535, 65535), "block": (1024, 1024, 64)}
THREADS, SHARED = 1024, 48 * 1024
"""What every GPU since 2014 can launch: sizes, threads in a block, bytes of shared memory."""

_order: ContextVar[tuple[str, int]] = ContextVar("thread order", default=("forward", 0))


class Parameter(NamedTuple):
    """One parameter of a kernel, as its C++ declaration says: a number, or a pointer to numbers."""

    dtype: np.dtype[Any]
    pointer: bool
    written: bool


class _Launch(ctypes.Structure):
    """Launch of machine.h."""

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
    """The kernel `name` of CUDA source `code`, run on the CPU; with a sanitizer, its memory accesses are watched."""

    def __init__(self, code: str, name: str, *, sanitizer: str | None = None) -> None:
        """Compile it.

        Raises SimulationError where that fails or the sanitizer's library is not in this process, ValueError where
        there is no such sanitizer.
        """
        if sanitizer is not None:
            _check_loaded(sanitizer)
        # PyDLL keeps Python's lock during a call: the machine runs one launch at a time.
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
        """Launch on `grid` blocks of `block` threads; args are C-contiguous NumPy arrays and NumPy scalars.

        Raises TypeError or ValueError where an argument does not fit its parameter, SimulationError where the sizes
        of the launch are wrong or the kernel does what CUDA leaves undefined.
        """
        if len(args) != len(self.parameters):
            raise TypeError(
                f"{self.name}: expected {len(self.parameters)} arguments, got {len(args)}"
            )
        cells = [
            self._cell(i, *pair) for i, pair in enumerate(zip(self.parameters, args, strict=True))
        ]
        order, seed = _order.get()
        launch = _Launch(
            grid=self._sizes("grid", grid),
            block=self._sizes("block", block),
            shared=self._bounded("bytes of dynamic shared memory", shared_mem, 0, SHARED),
            order=ORDERS.index(order),
            seed=seed,
            arguments=(ctypes.c_void_p * len(cells))(*(cell.ctypes.data for cell in cells)),
        )
        if fault := self._run(ctypes.byref(launch)).decode():
            raise SimulationError(f"{self.name}: {fault}")

    def _cell(self, i: int, parameter: Parameter, argument: Any) -> np.ndarray[Any, Any]:
        """Return memory that holds what the kernel receives: a number, or the address of an array."""
        expected = f"{self.name}: expected argument {i} to be"
        if not parameter.pointer:
            if not isinstance(argument, np.generic) or argument.dtype != parameter.dtype:
                wanted = parameter.dtype.type.__name__
                raise TypeError(
                    f"{expected} a scalar of type {wanted}, got {_kind(argument)}; write np.{wanted}(...)"
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
                f"{expected} writeable, got a read-only array; pass a copy or declare the pointer const"
            )
        return np.array(argument.ctypes.data, np.uintp)

    def _sizes(self, what: str, sizes: tuple[int, ...]) -> Any:
        if not 1 <= len(sizes) <= 3:
            raise SimulationError(f"{self.name}: expected a {what} of 1 to 3 sizes, got {sizes}")
        full = (*sizes, 1, 1)[:3]
        for axis, size, limit in zip("xyz", full, LIMITS[what], strict=True):
            self._bounded(f"as size {axis} of the {what}", size, 1, limit)
        if what == "block":
            self._bounded("threads in a block", full[0] * full[1] * full[2], 1, THREADS)
        return (ctypes.c_uint * 3)(*full)

    def _bounded(self, what: str, number: int, low: int, high: int) -> int:
        if not low <= number <= high:
            raise SimulationError(f"{self.name}: expected {low} to {high} {what}, got {number}")
        return number


@contextmanager
def thread_order(order: str, seed: int = 0) -> Iterator[None]:
    """Launches inside let blocks and threads run in `order`, one of ORDERS; random ones are drawn from `seed`.

    A correct kernel gives the same in every order. Raises ValueError for any other order.
    """
    if order not in ORDERS:
        raise ValueError(f"expected an order among {', '.join(ORDERS)}, got {order!r}")
    token = _order.set((order, seed))
    try:
        yield
    finally:
        _order.reset(token)


@functools.cache
def works() -> tuple[bool, str]:
    """Return (works, reason): whether a kernel on four floats can be built and run here, and if not why."""
    x = np.ones(4, np.float32)
    try:
        RawKernel('extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }', "twice")(
            (1,), (4,), (x,)
        )
    except (SimulationError, OSError) as error:
        return False, str(error)
    return (
        (True, "g++ compiles kernels")
        if (x == 2).all()
        else (False, f"2 * 1 is computed as {x[0]}")
    )


def _parameters(library: ctypes.CDLL) -> list[Parameter]:
    text = ctypes.create_string_buffer(2**16)
    library.cuda_sim_describe(text)
    return [
        Parameter(
            np.dtype(one.removeprefix("const ").removesuffix("*")), "*" in one, "const" not in one
        )
        for one in text.value.decode().split(";")[:-1]
    ]


def _check_loaded(sanitizer: str) -> None:
    """Raise SimulationError where a sanitizer's library would come too late: it would end the process."""
    library = preloaded(sanitizer)
    if library and not hasattr(ctypes.CDLL(None), f"__{library[3:7]}_init"):
        preload = sanitizer_environment(sanitizer)["LD_PRELOAD"]
        raise SimulationError(
            f"expected a process with the {sanitizer} sanitizer in it, got one without; "
            f"start it with LD_PRELOAD={preload}"
        )


def _kind(argument: Any) -> str:
    if isinstance(argument, np.ndarray):
        return f"an array of dtype {argument.dtype}"
    return f"{type(argument).__name__} {argument}"
