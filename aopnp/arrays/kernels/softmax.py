"""Softmax along the last axis, shifted by the largest input so that nothing overflows.

    y_p = exp(x_p - max x) / sum over q of exp(x_q - max x)

Softmax is a kernel because array modules reduce a short last axis slowly, and ten classes are
common.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(x: Array) -> Array:
    """Return the softmax [R, M, P] of x [R, M, P]."""
    exponentials = array_module(x).exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def _cpu(x: Array, y: Array) -> None:
    for r in range(x.shape[0]):
        for m in range(x.shape[1]):
            largest = x[r, m, 0]
            for p in range(x.shape[2]):
                # NaN is never <= largest: it becomes the largest, and stays visible.
                if not x[r, m, p] <= largest:
                    largest = x[r, m, p]
            total = 0 * largest  # a zero of the same type
            for p in range(x.shape[2]):
                exponential = np.exp(x[r, m, p] - largest)
                y[r, m, p] = exponential
                total += exponential
            for p in range(x.shape[2]):
                y[r, m, p] /= total


# One thread computes one row.
_CUDA = r"""
extern "C" __global__ void softmax(const T* x, T* y, int R, int M, int P) {
    const long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= (long long)R * M) return;
    const T* x_row = x + row * P;
    T* y_row = y + row * P;
    T largest = x_row[0], total = 0;
    for (int p = 0; p < P; ++p)
        if (!(x_row[p] <= largest)) largest = x_row[p];
    for (int p = 0; p < P; ++p) total += y_row[p] = exp(x_row[p] - largest);
    for (int p = 0; p < P; ++p) y_row[p] /= total;
}
"""

softmax = Kernel(
    "softmax",
    "T x[R,M,P] -> T y[R,M,P]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["R"] * n["M"] + 127) // 128,),
    ulps=16,
)
