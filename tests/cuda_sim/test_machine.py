"""The simulated machine does what CUDA says: indices, barriers, shuffles, atomics, shared memory,
arithmetic."""

import subprocess
import sys

import numpy as np
import pytest

from aopnp.arrays.cuda_sim import RawKernel, compiler
from tests.cuda_sim.small import in_every_order, kernel

N = 100  # threads: three full warps and a part of one

ROTATE = """
    __shared__ int tile[100];
    for (int round = 0; round < 3; ++round) {
        tile[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = tile[(threadIdx.x + 1) % 100];
        __syncthreads();
    }"""


def test_indices_and_sizes_in_three_dimensions():
    f = kernel(
        "int* out",
        """
        const int in_block = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        int* mine = out + (block * blockDim.x * blockDim.y * blockDim.z + in_block) * 12;
        const unsigned all[12] = {blockIdx.z, blockIdx.y, blockIdx.x,
                                  threadIdx.z, threadIdx.y, threadIdx.x,
                                  gridDim.z, gridDim.y, gridDim.x,
                                  blockDim.z, blockDim.y, blockDim.x};
        for (int i = 0; i < 12; ++i) mine[i] = all[i];""",
    )
    for grid, block in [((2, 3, 4), (5, 2, 3)), ((2, 3), (5, 2)), ((3,), (7,))]:
        sizes = [*(*grid, 1, 1)[2::-1], *(*block, 1, 1)[2::-1]]

        def run(grid=grid, block=block, sizes=sizes):
            out = np.full((*sizes, 12), -1, np.int32)
            f(grid, block, (out,))
            return out

        indices = np.moveaxis(np.indices(sizes), 0, -1)
        expected = np.concatenate([indices, np.broadcast_to(sizes, indices.shape)], -1)
        for out in in_every_order(run):
            np.testing.assert_array_equal(out, expected)


def test_any_number_of_threads_in_any_sequence():
    f = kernel("int* x", "__syncthreads(); x[threadIdx.x] += threadIdx.x;")
    x, expected = np.zeros(1024, np.int32), np.zeros(1024, np.int32)
    for threads in (1, 1024, 33, 1024):
        f((1,), (threads,), (x,))
        expected[:threads] += np.arange(threads, dtype=np.int32)
    np.testing.assert_array_equal(x, expected)


def test_a_barrier_is_passed_when_all_have_come():
    f = kernel("int* x", ROTATE)

    def run():
        x = np.arange(N, dtype=np.int32)
        f((1,), (N,), (x,))
        return x

    for x in in_every_order(run):
        np.testing.assert_array_equal(x, np.roll(np.arange(N), -3))


@pytest.mark.parametrize("name", ["select", "read", "y1", "log"])
def test_a_kernel_may_be_called_like_a_function_of_the_c_library(name):
    x = np.zeros(1)
    RawKernel(f'extern "C" __global__ void {name}(double* x) {{ x[0] = 1; }}', name)(
        (1,), (1,), (x,)
    )
    assert x == 1


LANES = np.arange(32)
SHUFFLES = {
    "__shfl_sync(0xffffffff, value, 5)": np.full(32, 5),
    "__shfl_sync(0xffffffff, value, threadIdx.x + 3)": (LANES + 3) % 32,
    "__shfl_up_sync(0xffffffff, value, 4)": np.where(LANES >= 4, LANES - 4, LANES),
    "__shfl_down_sync(0xffffffff, value, 4)": np.where(LANES + 4 < 32, LANES + 4, LANES),
    "__shfl_xor_sync(0xffffffff, value, 6)": LANES ^ 6,
}


@pytest.mark.parametrize("kind", ["int", "long long", "float", "double"])
def test_each_lane_reads_the_lane_it_asked_for(kind):
    dtype = {"int": np.int32, "long long": np.int64, "float": np.float32, "double": np.float64}[
        kind
    ]
    lines = [f"out[{i * 64} + threadIdx.x] = {call};" for i, call in enumerate(SHUFFLES)]
    f = kernel(
        f"const {kind}* x, {kind}* out",
        f"const {kind} value = x[threadIdx.x];\n" + "\n".join(lines),
    )
    x = (
        (np.arange(64) * 2.0**30 + 1).astype(dtype)
        if dtype != np.int32
        else np.arange(64, dtype=dtype)
    )

    def run():
        out = np.zeros((len(SHUFFLES), 64), dtype)
        f((1,), (64,), (x, out))
        return out

    for out in in_every_order(run):
        for got, lanes in zip(out, SHUFFLES.values(), strict=True):
            np.testing.assert_array_equal(got, x[np.concatenate([lanes, 32 + lanes])])


def test_lanes_of_one_mask_wait_for_each_other_alone():
    f = kernel(
        "int* out",
        """
        const bool low = threadIdx.x < 12;
        int sum = threadIdx.x;
        if (low) for (int bit = 1; bit < 4; bit *= 2) sum += __shfl_xor_sync(0x00000fff, sum, bit);
        else for (int bit = 1; bit < 4; bit *= 2) sum += __shfl_xor_sync(0xfffff000, sum, bit);
        out[threadIdx.x] = sum;""",
    )

    def run():
        out = np.zeros(32, np.int32)
        f((1,), (32,), (out,))
        return out

    for out in in_every_order(run):
        np.testing.assert_array_equal(out, LANES.reshape(8, 4).sum(1).repeat(4))


def test_atomic_add_returns_what_was_there_and_loses_nothing():
    f = kernel(
        "int* count, float* sum, double* global_sum, int* seen",
        """
        __shared__ int shared_count;
        if (threadIdx.x == 0) shared_count = 0;
        __syncthreads();
        atomicAdd(&shared_count, 2);
        seen[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(count, 1);
        atomicAdd(sum, 1);
        __syncthreads();
        if (threadIdx.x == 0) atomicAdd(global_sum, shared_count / 2.0);""",
    )

    def run():
        count, total = np.zeros(1, np.int32), np.zeros(1, np.float32)
        global_sum, seen = np.zeros(1), np.zeros(3 * N, np.int32)
        f((3,), (N,), (count, total, global_sum, seen))
        return count, total, global_sum, np.sort(seen)

    for count, total, global_sum, seen in in_every_order(run):
        assert (count, total, global_sum) == (3 * N, 3 * N, 3 * N)
        np.testing.assert_array_equal(seen, np.arange(3 * N))


def test_shared_memory_is_poisoned_before_every_block():
    f = kernel(
        "double* d, float* f, int* i, double* more",
        """
        __shared__ double shared_d[4];
        __shared__ float shared_f[4];
        __shared__ int shared_i[4];
        extern __shared__ double dynamic[];
        const int t = threadIdx.x, n = blockIdx.x * 4 + t;
        d[n] = shared_d[t]; f[n] = shared_f[t]; i[n] = shared_i[t]; more[n] = dynamic[t];
        shared_d[t] = shared_f[t] = shared_i[t] = dynamic[t] = 7;""",
    )
    d, single, i, more = (
        np.zeros(12),
        np.zeros(12, np.float32),
        np.zeros(12, np.int32),
        np.zeros(12),
    )
    f((3,), (4,), (d, single, i, more), shared_mem=32)
    assert np.isnan([d, single, more]).all()
    assert (i == -1).all()


def test_dynamic_shared_memory_is_shared():
    f = kernel(
        "float* x",
        """
        extern __shared__ float tile[];
        tile[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        x[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];""",
    )
    x = np.arange(N, dtype=np.float32)
    f((1,), (N,), (x,), shared_mem=4 * N)
    np.testing.assert_array_equal(x, np.arange(N)[::-1])


def test_mathematics_has_the_precision_of_its_argument():
    f = kernel(
        "double* out",
        """
        out[0] = log(3.0f); out[1] = log(3.0); out[2] = isnan(0.0f / 0); out[3] = isnan(1.0);
        out[4] = min(-3, 2); out[5] = min(2, -3);
        out[6] = min(5000000000LL, 6000000000LL); out[7] = min(6000000000LL, 5000000000LL);""",
    )
    out = np.zeros(8)
    f((1,), (1,), (out,))
    expected = [np.float64(np.log(np.float32(3))), np.log(3), 1, 0, -3, -3, 5e9, 5e9]
    np.testing.assert_allclose(out, expected, rtol=1e-15)
    assert abs(out[0] - out[1]) > 1e-9


def test_products_are_rounded_before_they_are_added():
    f = kernel("double a, double b, double c, double* out", "out[0] = a * b + c;")
    a, out = 1 + 2.0**-30, np.zeros(1)
    f((1,), (1,), (np.float64(a), np.float64(a), np.float64(-1 - 2.0**-29), out))
    assert out[0] == 0  # a fused multiply-add would keep 2**-60


def test_the_portable_switch_does_the_same(monkeypatch):
    monkeypatch.setattr(compiler, "FLAGS", [*compiler.FLAGS, "-DCUDA_SIM_UCONTEXT"])
    test_a_barrier_is_passed_when_all_have_come()
    test_lanes_of_one_mask_wait_for_each_other_alone()


OVERFLOW = """
from tests.cuda_sim.small import kernel
import numpy as np
body = "if (threadIdx.x == 40) { volatile char big[1 << BITS]; big[0] = 1; x[0] = big[0]; }"
f = kernel("int* x", body)
f((1,), (64,), (np.zeros(64, np.int32),))
print("survived")
"""


@pytest.mark.parametrize(("bits", "survives"), [(17, True), (18, False), (20, False)])
def test_a_stack_that_overflows_stops_the_process(bits, survives):
    command = [sys.executable, "-c", OVERFLOW.replace("BITS", str(bits))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == ((0, "survived\n") if survives else (-11, ""))
