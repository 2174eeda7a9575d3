"""Scores of the columns: the logarithm of the squared norm of each column of a matrix.

    log_squares[n] = log(sum over m of x[m, n]^2), -inf for a zero column

Half the sum of two of them is log(|a| |b|), the logarithm of the norm of the outer product a b^T:
the score that `log_norms` computes for rows. The reasons for the logarithm and for squares in
float64 are given there. NaN and infinity pass through.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(x: Array) -> Array:
    """Return log_squares [R, N] of x [R, M, N]."""
    xp = array_module(x)
    with np.errstate(divide="ignore"):
        return xp.log(xp.square(x, dtype=np.float64).sum(-2))


def _cpu(x: Array, log_squares: Array) -> None:
    for r in range(x.shape[0]):
        log_squares[r] = 0
        for m in range(x.shape[1]):
            for n in range(x.shape[2]):
                log_squares[r, n] += np.float64(x[r, m, n]) ** 2
        for n in range(x.shape[2]):
            log_squares[r, n] = np.log(log_squares[r, n])


# A block computes 32 columns, which are neighbours in memory. Its eight warps share the rows.
_CUDA = r"""
extern "C" __global__ void log_column_squares(
    const T* x, double* log_squares, int R, int M, int N) {
    __shared__ double partial[8][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n = blockIdx.x * 32 + lane;
    const long long r = blockIdx.y;
    double square = 0;
    if (n < N) for (long long m = warp; m < M; m += 8) {
        const double value = x[(r * M + m) * N + n];
        square += value * value;
    }
    partial[warp][lane] = square;
    __syncthreads();
    if (warp > 0 || n >= N) return;
    for (int other = 1; other < 8; ++other) square += partial[other][lane];
    log_squares[r * N + n] = log(square);
}
"""

log_column_squares = Kernel(
    "log_column_squares",
    "T x[R,M,N] -> float64 log_squares[R,N]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["N"] + 31) // 32, n["R"]),
    threads=256,
)
