"""Gather the selected rows of both factors, and scale the first one by the selection's weights.

    kept_a[k] = weights[k] a[rows[k]]        kept_b[k] = b[rows[k]]        (k < count, else zero)

The step after this kernel is an ordinary matrix product over K rows, which BLAS does better than
any loop.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(a: Array, b: Array, rows: Array, weights: Array, count: Array) -> tuple[Array, Array]:
    """Return (kept_a [R, K, N], kept_b [R, K, P]).

    a [R or 1, M, N], b [R, M, P], rows and weights [R, K], count [R].
    """
    xp = array_module(a, b, rows, weights, count)
    r = xp.arange(len(b))[:, None]
    kept = (xp.arange(rows.shape[1]) < count[:, None])[..., None]
    scaled = (weights[..., None] * a[r % len(a), rows]).astype(a.dtype)
    kept_a = xp.where(kept, scaled, a.dtype.type(0))
    kept_b = xp.where(kept, b[r, rows], b.dtype.type(0))
    return kept_a, kept_b


def _cpu(
    a: Array, b: Array, rows: Array, weights: Array, count: Array, kept_a: Array, kept_b: Array
) -> None:
    for r in range(rows.shape[0]):
        a_r = r % a.shape[0]
        for k in range(count[r]):
            m, weight = rows[r, k], weights[r, k]
            for n in range(a.shape[2]):
                kept_a[r, k, n] = weight * a[a_r, m, n]
            for p in range(b.shape[2]):
                kept_b[r, k, p] = b[r, m, p]
        kept_a[r, count[r] :] = 0
        kept_b[r, count[r] :] = 0


_CUDA = r"""
extern "C" __global__ void gather(
    const T* a, const T* b,
    const long long* rows, const double* weights, const long long* count,
    T* kept_a, T* kept_b, int R, int M, int N, int P, int K, int a_R) {
    const long long k = blockIdx.x, r = blockIdx.y;
    const bool kept = k < count[r];
    const long long m = rows[r * K + k];
    const T* a_row = a + ((r % a_R) * M + m) * N;
    const T* b_row = b + (r * M + m) * P;
    T* kept_a_row = kept_a + (r * K + k) * N;
    T* kept_b_row = kept_b + (r * K + k) * P;
    for (int n = threadIdx.x; n < N; n += blockDim.x)
        kept_a_row[n] = kept ? (T)(weights[r * K + k] * a_row[n]) : (T)0;
    for (int p = threadIdx.x; p < P; p += blockDim.x)
        kept_b_row[p] = kept ? b_row[p] : (T)0;
}
"""

gather = Kernel(
    "gather",
    "T a[R|1,M,N], T b[R,M,P], int64 rows[R,K], float64 weights[R,K], int64 count[R]"
    " -> T kept_a[R,K,N], T kept_b[R,K,P]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: (n["K"], n["R"]),
)
