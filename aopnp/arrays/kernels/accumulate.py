"""Accumulate rows into the memory and score them, in one pass.

    a_m <- rho a_m + x_m        b_m <- rho b_m + g_m        (a cleared row: a_m <- x_m, b_m <- g_m)
    log_norms[m] = log(|a_m| |b_m|), at least FLOOR

These are the steps "augment" and "score" of Mem-AOP-GD (arXiv 2110.09164). a and b are updated in
place. A cleared row was selected at the last step. It counts as zero, whatever numbers the arrays
still hold: the flag spares the pass that would set the row to zero, and it avoids 0 * infinity,
which is NaN.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.log_norms import CUDA_ROW_SUM, FLOOR
from aopnp.arrays.kernels.log_norms import reference as reference_log_norms


def reference(a: Array, b: Array, x: Array, g: Array, rho: Array, cleared: Array) -> Array:
    """Update a [R, M, N] and b [R, M, P] in place; return log_norms [R, M].

    x [R or 1, M, N], g [R, M, P], rho [R], cleared [R, M].
    """
    xp = array_module(a, b, x, g, rho, cleared)
    for memory, rows in ((a, x), (b, g)):
        shrunk = rho[:, None, None] * memory
        memory[...] = xp.where(cleared[..., None], 0, shrunk) + rows
    return reference_log_norms(a, b)


def _cpu(
    a: Array, b: Array, x: Array, g: Array, rho: Array, cleared: Array, log_norms: Array
) -> None:
    # Each new value goes through a local variable: if it were read back from the array, the
    # compiler would not vectorise the loop.
    for r in range(a.shape[0]):
        x_r = r % x.shape[0]
        for m in range(a.shape[1]):
            a_square = b_square = 0.0
            if cleared[r, m]:
                for n in range(a.shape[2]):
                    value = x[x_r, m, n]
                    a[r, m, n] = value
                    a_square += np.float64(value) ** 2
                for p in range(b.shape[2]):
                    value = g[r, m, p]
                    b[r, m, p] = value
                    b_square += np.float64(value) ** 2
            else:
                for n in range(a.shape[2]):
                    value = rho[r] * a[r, m, n] + x[x_r, m, n]
                    a[r, m, n] = value
                    a_square += np.float64(value) ** 2
                for p in range(b.shape[2]):
                    value = rho[r] * b[r, m, p] + g[r, m, p]
                    b[r, m, p] = value
                    b_square += np.float64(value) ** 2
            log_norm = (np.log(a_square) + np.log(b_square)) / 2
            if log_norm < FLOOR:
                log_norm = FLOOR
            log_norms[r, m] = log_norm


_CUDA = (
    CUDA_ROW_SUM
    + r"""
extern "C" __global__ void accumulate(
    T* a, T* b, const T* x, const T* g,
    const T* rho, const bool* cleared, double* log_norms,
    int R, int M, int N, int P, int x_R) {
    const long long m = blockIdx.x, r = blockIdx.y;
    T* a_row = a + (r * M + m) * N;
    T* b_row = b + (r * M + m) * P;
    const T* x_row = x + ((r % x_R) * M + m) * N;
    const T* g_row = g + (r * M + m) * P;
    const bool is_cleared = cleared[r * M + m];
    double a_square = 0, b_square = 0;
    for (int n = threadIdx.x; n < N; n += blockDim.x) {
        const T value = is_cleared ? x_row[n] : rho[r] * a_row[n] + x_row[n];
        a_row[n] = value;
        a_square += (double)value * value;
    }
    for (int p = threadIdx.x; p < P; p += blockDim.x) {
        const T value = is_cleared ? g_row[p] : rho[r] * b_row[p] + g_row[p];
        b_row[p] = value;
        b_square += (double)value * value;
    }
    a_square = block_sum(a_square);
    b_square = block_sum(b_square);
    if (threadIdx.x == 0)
        log_norms[r * M + m] = log_norm(a_square, b_square);
}
"""
)

accumulate = Kernel(
    "accumulate",
    "T a[R,M,N], T b[R,M,P], T x[R|1,M,N], T g[R,M,P], host T rho[R], bool cleared[R,M]"
    " -> float64 log_norms[R,M]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: (n["M"], n["R"]),
    reassociate=True,
)
