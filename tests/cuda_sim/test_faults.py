"""What CUDA leaves undefined is an error with a sentence; so is what no GPU could compile or
launch."""

import os
from itertools import permutations

import numpy as np
import pytest

from aopnp.arrays.cuda_sim import RawKernel, SimulationError, compiler, sanitizer_environment, works
from tests.cuda_sim.small import in_every_order, kernel


def fails(f, message, threads=64):
    """Assert that `f` of an int array fails with the sentence in every thread order, and that the
    next launch works."""
    good = kernel("int* x", "__syncthreads(); x[threadIdx.x] = threadIdx.x;")

    def run():
        x = np.zeros(threads, np.int32)
        with pytest.raises(SimulationError, match=message):
            f((2,), (threads,), (x,))
        good((1,), (threads,), (x,))
        np.testing.assert_array_equal(x, np.arange(threads))

    in_every_order(run)


def test_a_barrier_that_some_threads_skip():
    f = kernel("int* x", "if (threadIdx.x < 40) __syncthreads();")
    report = (
        r"f: deadlock in block \([01], 0, 0\): 40 threads wait for ever at __syncthreads "
        r"\(kernel.cu:2\), 24 have ended"
    )
    fails(f, report)


def test_a_deadlock_reports_every_place():
    f = kernel(
        "int* x",
        "if (threadIdx.x < 40) __syncthreads();\n"
        "else if (threadIdx.x < 50) x[0] = __shfl_sync(0xffffffff, 1, 0);\n",
    )
    fails(
        f,
        r"10 threads wait for ever at __shfl_sync \(kernel.cu:3\), "
        r"40 .* at __syncthreads \(kernel.cu:2\), 14 have",
    )


def test_two_barriers_are_not_one():
    f = kernel("int* x", "if (threadIdx.x % 2) __syncthreads();\nelse\n__syncthreads();")
    places = {r"__syncthreads \(kernel.cu:2\)", r"__syncthreads \(kernel.cu:4\)"}
    either = "|".join(" and ".join(pair) for pair in permutations(places))
    fails(f, f"expected all threads at one barrier, got ({either}) in thread")


@pytest.mark.parametrize(
    "call", ["__shfl_down_sync(0x0000ffff, 1, 1)", "__shfl_sync(0x0000ffff, 1, 0)"]
)
def test_a_lane_outside_the_mask(call):
    f = kernel("int* x", f"x[0] = {call};")
    name = call.split("(")[0]
    fails(
        f,
        rf"{name} \(kernel.cu:2\): lane \d+ is not in the mask 0x0000ffff "
        r"in thread \(\d+, 0, 0\) of block",
    )


def test_a_source_lane_outside_the_mask():
    f = kernel("int* x", "if (threadIdx.x < 8)\nx[0] = __shfl_xor_sync(0x000000ff, 1, 8);")
    fails(f, r"__shfl_xor_sync \(kernel.cu:3\): lane \d+ is not in the mask 0x000000ff")


def test_lanes_that_do_not_exist_never_come():
    fails(
        kernel("int* x", "x[0] = __shfl_sync(0xffffffff, 1, 0);"),
        "deadlock .* 20 threads wait",
        threads=20,
    )


def test_lanes_at_different_functions_do_not_meet():
    f = kernel(
        "int* x", "if (threadIdx.x % 2) __shfl_up_sync(-1, 1, 1);\nelse __shfl_down_sync(-1, 1, 1);"
    )
    fails(f, r"lanes of the mask 0xffffffff wait at __shfl_(up|down)_sync")


@pytest.mark.parametrize("wait", ["__syncthreads()", "__shfl_sync(0xffffffff, 1, 0)"])
def test_a_kernel_that_failed_can_be_launched_again(wait):
    f = kernel("int* x, bool stuck", f"if (threadIdx.x || !stuck) {wait};\nx[threadIdx.x] += 1;")
    x = np.zeros(32, np.int32)
    with pytest.raises(SimulationError, match="31 threads wait"):
        f((1,), (32,), (x, np.bool_(True)))
    np.testing.assert_array_equal(x, np.eye(32)[0])  # the only thread that went on
    f((1,), (32,), (x, np.bool_(False)))
    np.testing.assert_array_equal(x, 1 + np.eye(32)[0])
    with pytest.raises(SimulationError, match="31 threads wait"):
        f((1,), (32,), (x, np.bool_(True)))


def test_after_a_fault_nothing_runs():
    f = kernel("int* x", "if (threadIdx.x == 3) __shfl_sync(1, 1, 0);\natomicAdd(x, 1);")
    x = np.zeros(1, np.int32)
    with pytest.raises(
        SimulationError,
        match=r"lane 3 is not in the mask 0x00000001 in thread \(3, 0, 0\) of block",
    ):
        f((4,), (32,), (x,))
    assert x == 3


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            'extern "C" __global__ void f(int* x) {\n\n  x[0] = y;\n}',
            r"kernel\.cu:3:\d+: error: .y. was not declared",
        ),
        ("__global__ void f(int* x) {}", r"error: conflicting declaration of .* with .C. linkage"),
        (
            'struct S {};\nextern "C" __global__ void f(S* x) {}',
            "parameters are numbers and pointers to numbers",
        ),
        (
            'extern "C" __global__ void f(int* x) { __ballot_sync(-1, 1); }',
            "__ballot_sync. was not declared",
        ),
        ('extern "C" __global__ int f(int* x) { return 0; }', "error: .*no matching function"),
    ],
)
def test_source_that_does_not_compile(code, message):
    with pytest.raises(
        SimulationError,
        match=r"expected CUDA source that g\+\+ can compile, got\n(.|\n)*" + message,
    ):
        RawKernel(code, "f")


def test_a_kernel_that_the_source_does_not_have():
    with pytest.raises(
        SimulationError, match="expected the kernel f in the CUDA source, found none of that name"
    ):
        RawKernel('extern "C" __global__ void half(int* f) {}', "f")


@pytest.mark.parametrize(
    ("grid", "block", "shared", "message"),
    [
        ((1,), (1025,), 0, "expected 1 to 1024 as size x of the block, got 1025"),
        ((1,), (32, 33), 0, "expected 1 to 1024 threads in a block, got 1056"),
        ((1,), (1, 1, 65), 0, "expected 1 to 64 as size z of the block, got 65"),
        ((1, 65536), (1,), 0, "expected 1 to 65535 as size y of the grid, got 65536"),
        ((0,), (1,), 0, "expected 1 to 2147483647 as size x of the grid, got 0"),
        ((), (1,), 0, r"expected a grid of 1 to 3 sizes, got \(\)"),
        ((1,), (1, 1, 1, 1), 0, r"expected a block of 1 to 3 sizes, got \(1, 1, 1, 1\)"),
        ((1,), (1,), 49153, "expected 0 to 49152 bytes of dynamic shared memory, got 49153"),
        ((1,), (1,), -1, "expected 0 to 49152 bytes of dynamic shared memory, got -1"),
    ],
)
def test_a_launch_that_no_gpu_could_run(grid, block, shared, message):
    x = np.zeros(1, np.int32)
    f = kernel("int* x", "x[0] = 1;")
    with pytest.raises(SimulationError, match=f"f: {message}"):
        f(grid, block, (x,), shared_mem=shared)
    assert x == 0
    f((1,), (32, 32, 1), (x,), shared_mem=49152)  # the largest block, the most shared memory
    assert x == 1


def test_sanitizers_need_their_library_in_the_process():
    code = 'extern "C" __global__ void f(int* x) {}'
    with pytest.raises(
        ValueError, match="expected a sanitizer among address, thread, undefined, got 'memory'"
    ):
        RawKernel(code, "f", sanitizer="memory")
    with pytest.raises(
        ValueError, match="expected a sanitizer among address, thread, undefined, got 'memory'"
    ):
        sanitizer_environment("memory")
    for sanitizer in ("address", "thread"):
        with pytest.raises(
            SimulationError,
            match=f"expected a process with the {sanitizer} sanitizer .* LD_PRELOAD=",
        ):
            RawKernel(code, "f", sanitizer=sanitizer)


def test_without_a_compiler_works_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path))
    for cached in (works, compiler._version, compiler._folder):
        cached.cache_clear()
    try:
        able, reason = works()
    finally:
        for cached in (works, compiler._version, compiler._folder):
            cached.cache_clear()
    assert not able
    assert reason.startswith("expected the compiler g++, got ")
