"""Inverse of a distribution function: the row on which a uniform variate falls.

    rows[r, k] = the number of entries of cdf[r] that are <= target[r, k], at most S - 1

cdf[r] holds the running sums of the chances of S rows, and target[r, k] is uniform below their
total. The rows are found by bisection. The steps of the bisection are the definition: whatever
numbers cdf holds, the result is an index.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(cdf: Array, target: Array) -> Array:
    """Return rows [R, K] of cdf [R, S] and target [R, K]."""
    xp = array_module(cdf, target)
    S = cdf.shape[1]
    low = xp.zeros(target.shape, int)
    high = xp.full(target.shape, S - 1)
    for _ in range((S - 1).bit_length()):
        middle = (low + high) // 2
        right = xp.take_along_axis(cdf, middle, 1) <= target
        right &= low < high
        low = xp.where(right, middle + 1, low)
        high = xp.where(right, high, middle)
    return low


def _cpu(cdf: Array, target: Array, rows: Array) -> None:
    for r in range(target.shape[0]):
        for k in range(target.shape[1]):
            low, high = 0, cdf.shape[1] - 1
            while low < high:
                middle = (low + high) // 2
                if cdf[r, middle] <= target[r, k]:
                    low = middle + 1
                else:
                    high = middle
            rows[r, k] = low


_CUDA = r"""
extern "C" __global__ void inverse_cdf(
    const double* cdf, const double* target, long long* rows, int R, int S, int K) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (k >= K) return;
    int low = 0, high = S - 1;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (cdf[r * S + middle] <= target[r * K + k]) low = middle + 1;
        else high = middle;
    }
    rows[r * K + k] = low;
}
"""

inverse_cdf = Kernel(
    "inverse_cdf",
    "float64 cdf[R,S], float64 target[R,K] -> int64 rows[R,K]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["K"] + 127) // 128, n["R"]),
)
