"""Scatter columns to the places that they were gathered from, the adjoint of gather_columns.

    x[m, columns[k]] += weights[k] kept[m, k]        for k < count, in order of k

All other columns of x are zero.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(kept: Array, columns: Array, weights: Array, count: Array, N: int) -> Array:
    """Return x [R, M, N] of kept [R, M, K].

    columns and weights [R, K], count [R]; columns may repeat.
    """
    xp = array_module(kept, columns, weights, count)
    R, M, K = kept.shape
    x = xp.zeros((R, M, N), kept.dtype)
    r = xp.arange(R)
    for k in range(K):
        scaled = weights[:, k, None] * kept[:, :, k]
        x[r, :, columns[:, k]] += xp.where(k < count[:, None], scaled, 0)
    return x


def _cpu(kept: Array, columns: Array, weights: Array, count: Array, x: Array) -> None:
    for r in range(kept.shape[0]):
        for m in range(kept.shape[1]):
            x[r, m] = 0
            for k in range(count[r]):
                x[r, m, columns[r, k]] += weights[r, k] * kept[r, m, k]


# One block computes one row. Each thread is responsible for every 128th column and looks for them
# among the K columns, so that repeated columns need no atomic addition.
_CUDA = r"""
extern "C" __global__ void scatter_columns(
    const T* kept, const long long* columns, const double* weights,
    const long long* count, T* x, int R, int M, int K, int N) {
    const long long r = blockIdx.y, row = r * M + blockIdx.x;
    T* x_row = x + row * N;
    for (int n = threadIdx.x; n < N; n += 128) x_row[n] = 0;
    for (int k = 0; k < count[r]; ++k) {
        const int n = columns[r * K + k];
        if (n % 128 == threadIdx.x)
            x_row[n] = x_row[n] + weights[r * K + k] * kept[row * K + k];
    }
}
"""

scatter_columns = Kernel(
    "scatter_columns",
    "T kept[R,M,K], int64 columns[R,K], float64 weights[R,K], int64 count[R] -> T x[R,M,N]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: (n["M"], n["R"]),
)
