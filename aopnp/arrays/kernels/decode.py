"""Gather rows of coded data: each byte is the number of one of 256 levels.

    x[r, m, n] = levels[codes[samples[r, m], n]]

Images stay in memory as bytes, which take a quarter of the room of float32, and become numbers in
the batch that needs them.
"""

from aopnp.arrays.backend import Array
from aopnp.arrays.kernels.kernel import Kernel


def reference(codes: Array, levels: Array, samples: Array) -> Array:
    """Return x [R, M, N] of codes uint8 [D, N], levels [L] and samples [R, M]."""
    return levels[codes[samples]]


def _cpu(codes: Array, levels: Array, samples: Array, x: Array) -> None:
    for r in range(samples.shape[0]):
        for m in range(samples.shape[1]):
            row = samples[r, m]
            for n in range(codes.shape[1]):
                x[r, m, n] = levels[codes[row, n]]


_CUDA = r"""
extern "C" __global__ void decode(
    const unsigned char* codes, const T* levels, const long long* samples, T* x,
    int D, int N, int L, int R, int M) {
    const long long batch_row = (long long)blockIdx.y * M + blockIdx.x;
    const unsigned char* row = codes + samples[batch_row] * N;
    for (int n = threadIdx.x; n < N; n += blockDim.x)
        x[batch_row * N + n] = levels[row[n]];
}
"""

decode = Kernel(
    "decode",
    "uint8 codes[D,N], T levels[L], int64 samples[R,M] -> T x[R,M,N]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: (n["M"], n["R"]),
)
