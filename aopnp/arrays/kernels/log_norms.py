"""Scores of the rows: the logarithm of the Frobenius norm of each outer product x_m g_m^T.

    log_norms[m] = log(|x_m| |g_m|) = (log |x_m|^2 + log |g_m|^2) / 2, at least FLOOR

This is half the logarithm of the paper's score s_m = |x_m|^2 |g_m|^2 (arXiv 2110.09164), which
ranks the rows alike. Squares are summed in float64, because |x_m|^2 overflows float32 at |x_m| =
1e19. FLOOR replaces the -inf of a zero row, so that 0 * log_norms is 0 for policies that ignore the
scores. NaN and infinity pass through: a policy selects such rows at once, and the failure is
visible.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel

FLOOR = float(np.log(np.finfo(np.float64).tiny))
"""Logarithm of the smallest normal float64 number, the score of a zero row."""


def reference(x: Array, g: Array) -> Array:
    """Return log_norms [R, M] of x [R or 1, M, N] and g [R, M, P]."""
    xp = array_module(x, g)
    with np.errstate(divide="ignore", invalid="ignore"):
        x_square = xp.square(x, dtype=np.float64).sum(-1)
        g_square = xp.square(g, dtype=np.float64).sum(-1)
        return xp.maximum((xp.log(x_square) + xp.log(g_square)) / 2, FLOOR)


def _cpu(x: Array, g: Array, log_norms: Array) -> None:
    # The logarithms of x are computed once for all replicas that share x.
    log_x = np.empty(x.shape[:2])
    for r in range(x.shape[0]):
        for m in range(x.shape[1]):
            square = 0.0
            for n in range(x.shape[2]):
                square += np.float64(x[r, m, n]) ** 2
            log_x[r, m] = np.log(square)
    for r in range(g.shape[0]):
        for m in range(g.shape[1]):
            square = 0.0
            for p in range(g.shape[2]):
                square += np.float64(g[r, m, p]) ** 2
            log_norm = (log_x[r % x.shape[0], m] + np.log(square)) / 2
            if log_norm < FLOOR:
                log_norm = FLOOR
            log_norms[r, m] = log_norm


# One block computes one row. `block_sum` returns the sum of `value` over the block, in every
# thread. `accumulate` uses both functions, too: it sums the same two squares while it writes.
_CUDA_ROW_SUM = r"""__device__ double block_sum(double value) {
    __shared__ double partial[32];
    for (int offset = 16; offset > 0; offset /= 2)
        value += __shfl_down_sync(0xffffffff, value, offset);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    double total = 0;
    for (int warp = 0; warp < blockDim.x / 32; ++warp) total += partial[warp];
    __syncthreads();
    return total;
}
__device__ double log_norm(double x_square, double g_square) {
    const double log_norm = (log(x_square) + log(g_square)) / 2, FLOOR = @FLOOR@;
    return log_norm < FLOOR ? FLOOR : log_norm;
}
"""
CUDA_ROW_SUM = _CUDA_ROW_SUM.replace("@FLOOR@", repr(FLOOR))

_CUDA = (
    CUDA_ROW_SUM
    + r"""
extern "C" __global__ void log_norms(
    const T* x, const T* g, double* log_norms, int R, int M, int N, int P, int x_R) {
    const long long m = blockIdx.x, r = blockIdx.y;
    const T* x_row = x + ((r % x_R) * M + m) * N;
    const T* g_row = g + (r * M + m) * P;
    double x_square = 0, g_square = 0;
    for (int n = threadIdx.x; n < N; n += blockDim.x)
        x_square += (double)x_row[n] * x_row[n];
    for (int p = threadIdx.x; p < P; p += blockDim.x)
        g_square += (double)g_row[p] * g_row[p];
    x_square = block_sum(x_square);
    g_square = block_sum(g_square);
    if (threadIdx.x == 0)
        log_norms[r * M + m] = log_norm(x_square, g_square);
}
"""
)

log_norms = Kernel(
    "log_norms",
    "T x[R|1,M,N], T g[R,M,P] -> float64 log_norms[R,M]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: (n["M"], n["R"]),
    reassociate=True,
)
