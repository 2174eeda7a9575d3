"""One formula in three spellings: the class that checks, compiles and dispatches.

A kernel file reads top to bottom: the formula, `reference` (array-module lines: the definition and the oracle),
`_cpu` (explicit loops, compiled by Numba at the first call), `_CUDA` (RawKernel source with the same loop names),
and the `Kernel` that ties them together under a signature such as

    "T x[R|1,M,N], T g[R,M,P] -> float64 log_norms[R,M]"

T is float32 or float64, the same in all arguments; a letter has one size throughout; `R|1` may also be 1, for an
operand that all replicas share. `_cpu` and `_CUDA` write into the outputs behind the arrow; the CUDA source also
receives the size of every letter in order of appearance, then one replica count per `R|1` argument, as int.
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
    """One array of a signature: `T x[R|1,M,N]`."""

    dtype: str
    name: str
    axes: tuple[str, ...]


Form: TypeAlias = tuple[type, tuple[int, ...], np.dtype[Any], bool]
"""What a kernel must know of an array before it runs on it: kind, shape, dtype, whether it is C-contiguous."""


class Plan(NamedTuple):
    """What follows from the forms of all arguments."""

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

        `grid` gives the blocks (of `threads`) from the size of every letter; a `cpu` spelling that is a BLAS call is
        not compiled (`jit`). A sum may be reordered (vectorised) where `reassociate` says so: it must be harmless
        to every expression of the kernel. Data of different spellings agree to `ulps` units in the last place, 0
        unless exp or log are in them.
        """
        self.name, self.reference, self.cpu, self.cuda = name, reference, cpu, cuda
        self.grid, self.threads, self.jit = grid, threads, jit
        self.reassociate, self.ulps = reassociate, ulps
        inputs, _, outputs = signature.partition("->")
        self.inputs, self.outputs = _parse(inputs), _parse(outputs)
        self.letters = list(
            dict.fromkeys(x.removesuffix("|1") for a in self.inputs + self.outputs for x in a.axes)
        )
        self._plans: dict[tuple[Any, ...], Plan] = {}
        KERNELS[name] = self

    def __call__(self, *arrays: Array, **sizes: int) -> Any:
        """Run on `arrays`; `sizes` gives letters that only outputs have. Returns the output (or outputs, or None).

        Raises ValueError or TypeError where shapes, dtypes, memory layout or devices do not fit the signature.
        """
        forms = tuple([(a.__class__, a.shape, a.dtype, a.flags.c_contiguous) for a in arrays])
        plan = self._plans.get((forms, *sizes.items())) or self._plan(forms, arrays, sizes)
        if plan.xp is not np and self.cuda is None:
            return self.reference(*arrays)
        out = [plan.xp.empty(shape, dtype) for shape, dtype in plan.outputs]
        if plan.xp is np:
            self._compiled(*arrays, *out)
        else:
            self._launch(plan, arrays, out)
        return out[0] if len(out) == 1 else tuple(out) or None

    def _plan(
        self, forms: tuple[Form, ...], arrays: tuple[Array, ...], sizes: dict[str, int]
    ) -> Plan:
        # A training step repeats the forms of the last one: what has been checked once is looked up.
        xp, (sizes_found, dtype) = array_module(*arrays), self.check(forms, sizes)
        outputs = [
            (tuple(sizes_found[x] for x in a.axes), dtype if a.dtype == "T" else np.dtype(a.dtype))
            for a in self.outputs
        ]
        plan = self._plans[forms, *sizes.items()] = Plan(xp, sizes_found, dtype, outputs)
        return plan

    def check(
        self, forms: Sequence[Form], sizes: dict[str, int]
    ) -> tuple[dict[str, int], np.dtype[Any]]:
        """Return (size of every letter, dtype of T), or raise what does not fit."""
        data = [
            dtype
            for spec, (_, _, dtype, _) in zip(self.inputs, forms, strict=True)
            if spec.dtype == "T"
        ]
        dtype = data[0] if data else np.dtype(np.float64)
        if dtype not in (np.float32, np.float64):
            raise TypeError(
                f"{self.name}: expected data of dtype float32 or float64, got {dtype}; cast it with astype"
            )
        for spec, (_, shape, _, _) in zip(self.inputs, forms, strict=True):
            if len(shape) == len(spec.axes):
                sizes = {x: n for x, n in zip(spec.axes, shape, strict=True) if x != "R|1"} | sizes
        for spec, form in zip(self.inputs, forms, strict=True):
            self._check_one(spec, form, sizes, dtype)
        return sizes, dtype

    def _check_one(
        self, spec: Argument, form: Form, sizes: dict[str, int], dtype: np.dtype[Any]
    ) -> None:
        _, shape, given, contiguous = form
        expected = dtype if spec.dtype == "T" else np.dtype(spec.dtype)
        if given != expected:
            raise TypeError(
                f"{self.name}: expected {spec.name} of dtype {expected}, got {given}; give all data one dtype"
            )
        wanted = [(sizes["R"], 1) if x == "R|1" else (sizes.get(x),) for x in spec.axes]
        if len(shape) != len(wanted) or any(n not in w for n, w in zip(shape, wanted, strict=True)):
            letters = ", ".join(f"{x} = {n}" for x, n in sizes.items())
            raise ValueError(
                f"{self.name}: expected {spec.name} of shape [{', '.join(spec.axes)}] with {letters}, got {shape}"
            )
        if not contiguous:
            raise ValueError(
                f"{self.name}: expected {spec.name} C-contiguous, got a strided view; use ascontiguousarray"
            )

    @functools.cached_property
    def _compiled(self) -> Callable[..., None]:
        if not self.jit:
            return self.cpu
        import numba  # here, so that importing aopnp neither loads Numba nor compiles anything

        fastmath = (
            {"reassoc", "nsz"} if self.reassociate else False
        )  # more of it would hide NaN and infinity
        compiled: Callable[..., None] = numba.njit(
            self.cpu, cache=True, fastmath=fastmath, error_model="numpy"
        )
        return compiled

    def _launch(self, plan: Plan, arrays: tuple[Array, ...], out: list[Array]) -> None:
        assert self.grid is not None
        shared = [
            a.shape[0] for spec, a in zip(self.inputs, arrays, strict=True) if "R|1" in spec.axes
        ]
        numbers = [np.int32(n) for n in [*(plan.sizes[x] for x in self.letters), *shared]]
        kernel = _raw_kernel(plan.xp, self.name, self.source(plan.dtype))
        kernel(self.grid(plan.sizes), (self.threads,), (*arrays, *out, *numbers))

    def source(self, dtype: np.dtype[Any]) -> str:
        """Return the CUDA source for T = `dtype`."""
        return f"typedef {'float' if dtype == np.float32 else 'double'} T;\n{self.cuda}"


@functools.cache
def _raw_kernel(cupy: ModuleType, name: str, source: str) -> Callable[..., None]:
    # Products and sums are rounded one by one, as on the CPU: the kernels wait for memory, not for arithmetic.
    return cupy.RawKernel(source, name, options=("--fmad=false",))


def _parse(arguments: str) -> list[Argument]:
    return [
        Argument(dtype, name, tuple(axes.replace(" ", "").split(",")))
        for dtype, name, axes in re.findall(r"(\w+) (\w+)\[([^]]*)\]", arguments)
    ]
