"""Run kernels under a sanitizer, in a process of their own: `python -m tests.cuda_sim.run_kernels
thread CASE ...`.

The standard error shows `== CASE` before what the sanitizer says of it. A case is a key of CLEAN or
of FAULTY.
"""

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.cuda_sim import RawKernel, SimulationError, thread_order
from aopnp.arrays.kernels import KERNELS, Kernel

CUDA = {name: kernel for name, kernel in KERNELS.items() if kernel.cuda}

SIZES = {
    "R": 2,
    "M": 5,
    "N": 150,
    "P": 3,
    "K": 4,
    "S": 300,
    "Q": 38,
    "D": 5,
    "L": 256,
    "C": 20,
    "G": 2,
    "V": 4,
}
"""More of N, of S and of A B C than a block has threads; a letter that is not here is 3."""


def arguments(kernel: Kernel, dtype: type, shared: bool) -> list[Array]:
    """Return arrays that fit the signature; with `shared`, one replica of what all replicas may
    share."""
    rng = np.random.default_rng(0)

    def array(name: str, kind: str, axes: tuple[str, ...]) -> Array:
        shape = [(1 if shared else SIZES["R"]) if x == "R|1" else SIZES.get(x, 3) for x in axes]
        if kind == "bool":
            return rng.random(shape) < 0.5
        if "int" in kind:  # a count, or an index: 1 or 2 is within every size
            return rng.integers(1, 3, shape).astype(kind)
        return rng.integers(-9, 9, shape).astype(dtype if kind == "T" else kind)

    return [array(*argument) for argument in ((a.name, a.dtype, a.axes) for a in kernel.inputs)]


def launch(
    kernel: Kernel, code: str, dtype: type, arrays: list[Array], sanitizer: str | None = None
) -> tuple[Array, ...]:
    """Launch `code`, a text of `kernel`, as the kernel would; return its outputs."""
    sizes = {x: SIZES.get(x, 3) for x in kernel.letters}
    out = [
        np.zeros([sizes[x] for x in a.axes], dtype if a.dtype == "T" else a.dtype)
        for a in kernel.outputs
    ]
    shared = [len(a) for spec, a in zip(kernel.inputs, arrays, strict=True) if "R|1" in spec.axes]
    numbers = [np.int32(n) for n in (*sizes.values(), *shared)]
    assert kernel.grid is not None
    run = RawKernel(code, kernel.name, sanitizer=sanitizer)
    run(kernel.grid(sizes), (kernel.threads,), [*arrays, *out, *numbers])
    return tuple(out)


def edited(kernel: Kernel, dtype: type, old: str, new: str, place: int = 0) -> str:
    """Return the text of `kernel` with the `place`-th `old` replaced; ValueError where there is
    none."""
    parts = kernel.source(np.dtype(dtype)).split(old)
    found = len(parts) - 1
    if found <= place:
        raise ValueError(
            f"{kernel.name}: expected more than {place} of {old!r} in its text, got {found}"
        )
    return old.join(parts[: place + 1]) + new + old.join(parts[place + 1 :])


def run_clean(kernel: Kernel, dtype: type, sanitizer: str) -> None:
    """Run the kernel as it is, in two thread orders, with operands of each kind, and compare with
    its reference."""
    tolerance = max(1e-12, kernel.ulps * float(np.finfo(dtype).eps))
    for shared, order in ((True, "forward"), (False, "random")):
        arrays, expected = arguments(kernel, dtype, shared), arguments(kernel, dtype, shared)
        with thread_order(order):
            got = launch(kernel, kernel.source(np.dtype(dtype)), dtype, arrays, sanitizer)
        only = {
            x: SIZES.get(x, 3)
            for x in kernel.letters
            if not any(x in a.axes for a in kernel.inputs)
        }
        results = kernel.reference(*expected, **only)
        wanted = results if isinstance(results, tuple) else (results,) * len(kernel.outputs)
        for ours, theirs in zip((*got, *arrays), (*wanted, *expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


SUM = """extern "C" __global__ void sum(const float* x, float* total) {
    __shared__ float partial;
    if (threadIdx.x == 0) partial = 0;
    __syncthreads();
    %s;
    __syncthreads();
    if (threadIdx.x == 0) *total = partial;
}"""


def run_sum(update: str, sanitizer: str) -> None:
    """Add 64 numbers in shared memory with the statement `update`."""
    x, total = np.ones(64, np.float32), np.zeros(1, np.float32)
    RawKernel(SUM % update, "sum", sanitizer=sanitizer)((1,), (64,), (x, total))
    assert total == 64  # one thread runs at a time: only the thread sanitizer sees what is wrong


LEFT_HALF_WAY = """
__device__ __attribute__((noinline)) float deep(float value) {
    volatile float local[5];
    for (int i = 0; i < 5; ++i) local[i] = value;
    __syncthreads();
    return local[threadIdx.x % 5];
}
__device__ __attribute__((noinline)) float flat(float value) {
    volatile float local[20];
    for (int i = 0; i < 20; ++i) local[i] = value;
    return local[threadIdx.x % 20];
}
extern "C" __global__ void half_way(float* x, bool stuck) {
    __shared__ float tile[64];
    tile[threadIdx.x] = 2;
    x[threadIdx.x] = !stuck ? flat(tile[threadIdx.x]) : threadIdx.x ? deep(1) : 0;
}"""


def run_after_a_fault(sanitizer: str) -> None:
    """Threads that were left in a deadlock must not look like an error of the next launch."""
    x, run = np.zeros(64, np.float32), RawKernel(LEFT_HALF_WAY, "half_way", sanitizer=sanitizer)
    try:
        run((1,), (64,), (x, np.bool_(True)))
    except SimulationError:
        run((1,), (64,), (x, np.bool_(False)))
    assert (x == 2).all()


def run_edited(sanitizer: str, name: str, old: str, new: str, place: int = 0) -> None:
    """Run an edited kernel, right or wrong."""
    kernel = CUDA[name]
    code = edited(kernel, np.float32, old, new, place)
    launch(kernel, code, np.float32, arguments(kernel, np.float32, shared=False), sanitizer)


CLEAN: dict[str, Callable[[str], None]] = {
    **{
        f"{name} {dtype.__name__}": partial(run_clean, kernel, dtype)
        for name, kernel in CUDA.items()
        for dtype in (np.float32, np.float64)
    },
    "atomic update": partial(run_sum, "atomicAdd(&partial, x[threadIdx.x])"),
    "after a fault": run_after_a_fault,
}

BARRIER = "__syncthreads();"
WITHOUT_BARRIER: dict[str, Callable[[str], None]] = {
    f"{name} without barrier {place}": partial(
        run_edited, name=name, old=BARRIER, new="", place=place
    )
    for name, kernel in CUDA.items()
    for place in range((kernel.cuda or "").count(BARRIER))
}

FAULTY: dict[str, Callable[[str], None]] = {
    **WITHOUT_BARRIER,
    "non-atomic update": partial(run_sum, "partial += x[threadIdx.x]"),
    "off by one": partial(run_edited, name="log_norms", old="n < N", new="n <= N"),
    "shared array too small": partial(
        run_edited, name="log_norms", old="double partial[32]", new="double partial[2]"
    ),
}

if __name__ == "__main__":
    for case in sys.argv[2:]:
        print("==", case, file=sys.stderr, flush=True)
        (CLEAN | FAULTY)[case](sys.argv[1])
    print("all done")
