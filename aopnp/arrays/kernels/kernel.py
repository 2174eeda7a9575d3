"""One formula in three spellings: the class that checks, compiles and dispatches.

A kernel file reads top to bottom: the formula, `reference` (a few lines for any array module: the
definition and the oracle), `_cpu` (explicit loops, which Numba compiles at the first call), `_CUDA`
(RawKernel source with the same loop names), and the `Kernel` that ties them together under a
signature such as

    "T x[R|1,M,N], T g[R,M,P], host T rho[R] -> float64 log_norms[R,M]"

T is float32 or float64, the same in all arguments. A letter has one size throughout. `R|1` may also
be 1, for an operand that all replicas share. A `host` argument holds a number for each replica and
may lie on the host: the kernel moves it to the device, once for each value. `_cpu` and `_CUDA`
write into the outputs behind the arrow. The CUDA source also receives the size of every letter in
order of appearance, then one replica count for each `R|1` argument, as int.
"""

import functools
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from aopnp.arrays.backend import Array, array_module

KERNELS: dict[str, "Kernel"] = {}
"""Every kernel by name: the table that the kernel tests run through."""


class Argument(NamedTuple):
    """One array of a signature: `T x[R|1,M,N]`, or `host T rho[R]`."""

    dtype: str
    name: str
    axes: tuple[str, ...]
    host: bool


Form: TypeAlias = tuple[type, tuple[int, ...], np.dtype[Any], bool]
"""The properties of an array that a kernel checks: type, shape, dtype, whether C-contiguous."""


class Plan(NamedTuple):
    """The facts that follow from the forms of all arguments."""

    xp: ModuleType
    sizes: dict[str, int]
    dtype: np.dtype[Any]
    outputs: list[tuple[tuple[int, ...], np.dtype[Any]]]


class Kernel:
    """A formula with its reference, CPU and CUDA spelling; call it with arrays of either kind."""

    def __init__(
        self,
        name: str,
        signature: str,
        reference: Callable[..., Any],
        *,
        cpu: Callable[..., None],
        cuda: str | None = None,
        grid: Callable[[dict[str, int]], tuple[int, ...]] | None = None,
        threads: int = 128,
        jit: bool = True,
        reassociate: bool = False,
        ulps: int = 0,
    ) -> None:
        """Tie the spellings of `name` together.

        `grid` gives the blocks (of `threads`) from the size of every letter. A `cpu` spelling that
        is a BLAS call is not compiled (`jit`). `reassociate` allows the compiler to reorder sums,
        that is to vectorise them: it must be harmless to every expression of the kernel. Data of
        different spellings agree to `ulps` units in the last place, 0 unless exp or log are in
        them.
        """
        self.name = name
        self.reference = reference
        self.cpu = cpu
        self.cuda = cuda
        self.grid = grid
        self.threads = threads
        self.jit = jit
        self.reassociate = reassociate
        self.ulps = ulps
        inputs, _, outputs = signature.partition("->")
        self.inputs, self.outputs = _parse(inputs), _parse(outputs)
        axes = [axis for a in self.inputs + self.outputs for axis in a.axes]
        self.letters = list(dict.fromkeys(axis.removesuffix("|1") for axis in axes))
        self._plans: dict[tuple[Any, ...], Plan] = {}
        KERNELS[name] = self

    def __call__(self, *arrays: Array, **sizes: int) -> Any:
        """Run on `arrays`; `sizes` gives letters that only outputs have.

        Returns the output, a tuple of several outputs, or None. Raises ValueError or TypeError
        where shapes, dtypes, memory layout or devices do not fit the signature.
        """
        # Loops and not comprehensions: this is called several times in every step.
        forms: list[Form] = []
        for a in arrays:
            forms.append((a.__class__, a.shape, a.dtype, a.flags.c_contiguous))
        key = (*forms, *sizes.items())
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(forms, arrays, sizes)
        if plan.xp is not np:
            return self._on_device(plan, arrays)
        out: list[Array] = []
        for shape, dtype in plan.outputs:
            out.append(np.empty(shape, dtype))
        self._compiled(*arrays, *out)
        if len(out) == 1:
            return out[0]
        return tuple(out) or None

    def _plan(self, forms: list[Form], arrays: tuple[Array, ...], sizes: dict[str, int]) -> Plan:
        # A training step repeats the forms of the last one: a checked form is looked up.
        pairs = zip(self.inputs, arrays, strict=True)
        placed = [a for spec, a in pairs if not (spec.host and isinstance(a, np.ndarray))]
        xp = array_module(*placed)
        found, dtype = self.check(forms, sizes)
        outputs = []
        for spec in self.outputs:
            shape = tuple(found[axis] for axis in spec.axes)
            outputs.append((shape, _dtype_of(spec, dtype)))
        return Plan(xp, found, dtype, outputs)

    def check(
        self, forms: Sequence[Form], sizes: dict[str, int]
    ) -> tuple[dict[str, int], np.dtype[Any]]:
        """Return (size of every letter, dtype of T).

        Raises TypeError or ValueError for the first argument that does not fit the signature.
        """
        dtype = np.dtype(np.float64)
        for spec, (_, _, given, _) in zip(self.inputs, forms, strict=True):
            if spec.dtype == "T":
                dtype = given
                break
        if dtype not in (np.float32, np.float64):
            raise TypeError(
                f"{self.name}: expected data of dtype float32 or float64, got {dtype}; "
                "cast it with astype"
            )
        for spec, (_, shape, _, _) in zip(self.inputs, forms, strict=True):
            if len(shape) == len(spec.axes):
                own = zip(spec.axes, shape, strict=True)
                sizes = {axis: n for axis, n in own if axis != "R|1"} | sizes
        for spec, form in zip(self.inputs, forms, strict=True):
            self._check_one(spec, form, sizes, dtype)
        return sizes, dtype

    def _check_one(
        self, spec: Argument, form: Form, sizes: dict[str, int], dtype: np.dtype[Any]
    ) -> None:
        _, shape, given, contiguous = form
        expected = _dtype_of(spec, dtype)
        if given != expected:
            raise TypeError(
                f"{self.name}: expected {spec.name} of dtype {expected}, got {given}; "
                "give all data one dtype"
            )
        allowed = [(sizes["R"], 1) if axis == "R|1" else (sizes.get(axis),) for axis in spec.axes]
        fits = len(shape) == len(allowed)
        if not fits or any(n not in some for n, some in zip(shape, allowed, strict=True)):
            letters = ", ".join(f"{axis} = {n}" for axis, n in sizes.items())
            raise ValueError(
                f"{self.name}: expected {spec.name} of shape [{', '.join(spec.axes)}] "
                f"with {letters}, got {shape}"
            )
        if not contiguous:
            raise ValueError(
                f"{self.name}: expected {spec.name} C-contiguous, got a strided view; "
                "use ascontiguousarray"
            )

    @functools.cached_property
    def _compiled(self) -> Callable[..., None]:
        if not self.jit:
            return self.cpu
        import numba  # here, so that importing aopnp neither loads Numba nor compiles anything

        fastmath: Any = False  # all of fast-math would hide NaN and infinity
        if self.reassociate:
            fastmath = {"reassoc", "nsz"}
        compiled: Callable[..., None] = numba.njit(
            self.cpu, cache=True, fastmath=fastmath, error_model="numpy"
        )
        return compiled

    def _on_device(self, plan: Plan, arrays: tuple[Array, ...]) -> Any:
        xp = plan.xp
        moved = [_uploaded(xp, a) if isinstance(a, np.ndarray) else a for a in arrays]
        if self.cuda is None:
            return self.reference(*moved)
        assert self.grid is not None
        out = [xp.empty(shape, dtype) for shape, dtype in plan.outputs]
        pairs = zip(self.inputs, moved, strict=True)
        shared = [a.shape[0] for spec, a in pairs if "R|1" in spec.axes]
        numbers = [np.int32(n) for n in [*(plan.sizes[x] for x in self.letters), *shared]]
        kernel = _raw_kernel(xp, self.name, self.source(plan.dtype))
        kernel(self.grid(plan.sizes), (self.threads,), (*moved, *out, *numbers))
        if len(out) == 1:
            return out[0]
        return tuple(out) or None

    def source(self, dtype: np.dtype[Any]) -> str:
        """Return the CUDA source for T = `dtype`."""
        name = "float" if dtype == np.float32 else "double"
        return f"typedef {name} T;\n{self.cuda}"


@functools.cache
def _raw_kernel(cupy: ModuleType, name: str, source: str) -> Callable[..., None]:
    # Products and sums are rounded one by one, as on the CPU: kernels wait for memory, not
    # arithmetic.
    return cupy.RawKernel(source, name, options=("--fmad=false",))


def _uploaded(xp: ModuleType, values: Array) -> Array:
    """Return host `values` on the device of `xp`; equal values are moved there once.

    The arrays are shared between calls, and nothing writes them.
    """
    return _uploaded_bytes(xp, values.tobytes(), values.dtype.str, values.shape)


@functools.lru_cache(maxsize=1024)
def _uploaded_bytes(xp: ModuleType, content: bytes, dtype: str, shape: tuple[int, ...]) -> Array:
    return xp.asarray(np.frombuffer(content, dtype).reshape(shape))


def _dtype_of(spec: Argument, dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if spec.dtype == "T" else np.dtype(spec.dtype)


def _parse(arguments: str) -> list[Argument]:
    found = re.findall(r"(host )?(\w+) (\w+)\[([^]]*)\]", arguments)
    return [
        Argument(dtype, name, tuple(axes.replace(" ", "").split(",")), bool(host))
        for host, dtype, name, axes in found
    ]
