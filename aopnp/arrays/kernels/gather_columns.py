"""Gather the selected columns of a matrix, and scale them by the selection's weights.

    kept[m, k] = weights[k] x[m, columns[k]]        (columns beyond count are zero)

The step after this kernel is a matrix product over K columns: the sampled forward product of
Adelman et al. (arXiv 1805.08079).
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(x: Array, columns: Array, weights: Array, count: Array) -> Array:
    """Return kept [R, M, K] of x [R or 1, M, N]; columns and weights [R, K], count [R]."""
    xp = array_module(x, columns, weights, count)
    scaled = weights[:, None] * xp.take_along_axis(x, columns[:, None], -1)
    in_use = xp.arange(columns.shape[1]) < count[:, None, None]
    return xp.where(in_use, scaled, 0).astype(x.dtype)


def _cpu(x: Array, columns: Array, weights: Array, count: Array, kept: Array) -> None:
    for r in range(columns.shape[0]):
        x_r = r % x.shape[0]
        for m in range(x.shape[1]):
            for k in range(count[r]):
                kept[r, m, k] = weights[r, k] * x[x_r, m, columns[r, k]]
            kept[r, m, count[r] :] = 0


_CUDA = r"""
extern "C" __global__ void gather_columns(
    const T* x, const long long* columns, const double* weights,
    const long long* count, T* kept, int R, int M, int N, int K, int x_R) {
    const long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x,
                    r = blockIdx.y;
    if (element >= (long long)M * K) return;
    const long long m = element / K, k = element % K;
    const T* row = x + ((r % x_R) * M + m) * N;
    kept[r * M * K + element] = k < count[r]
        ? (T)(weights[r * K + k] * row[columns[r * K + k]])
        : (T)0;
}
"""

gather_columns = Kernel(
    "gather_columns",
    "T x[R|1,M,N], int64 columns[R,K], float64 weights[R,K], int64 count[R] -> T kept[R,M,K]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["M"] * n["K"] + 127) // 128, n["R"]),
)
