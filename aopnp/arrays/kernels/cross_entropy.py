"""Cross-entropy on logits and its gradient, in one pass over the rows.

    losses[m] = log(sum over q of exp(y_q)) - y_label
    gradient  = (softmax(y) - one_hot(label)) / M

A label that names no class has loss NaN: the mistake is visible, and is not trained on.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.softmax import reference as reference_softmax


def reference(y: Array, label: Array) -> tuple[Array, Array]:
    """Return (losses [R, M], gradient [R, M, P]) of logits y [R, M, P] and labels [R or 1, M]."""
    xp = array_module(y, label)
    M, P = y.shape[1:]
    one_hot = label[..., None] == xp.arange(P)
    shifted = y - y.max(-1, keepdims=True)
    at_label = xp.where(one_hot, shifted, 0).sum(-1)
    at_label = xp.where(one_hot.any(-1), at_label, np.nan)
    losses = xp.log(xp.exp(shifted).sum(-1)) - at_label
    gradient = (reference_softmax(y) - one_hot) / y.dtype.type(M)
    return losses.astype(y.dtype), gradient


def _cpu(y: Array, label: Array, losses: Array, gradient: Array) -> None:
    for r in range(y.shape[0]):
        for m in range(y.shape[1]):
            largest = y[r, m, 0]
            for p in range(y.shape[2]):
                # NaN is never <= largest: it becomes the largest, and stays visible.
                if not y[r, m, p] <= largest:
                    largest = y[r, m, p]
            total = 0 * largest  # a zero of the same type
            for p in range(y.shape[2]):
                exponential = np.exp(y[r, m, p] - largest)
                gradient[r, m, p] = exponential
                total += exponential
            k = label[r % label.shape[0], m]
            if 0 <= k < y.shape[2]:
                losses[r, m] = np.log(total) - (y[r, m, k] - largest)
            else:
                losses[r, m] = np.nan
            for p in range(y.shape[2]):
                gradient[r, m, p] = (gradient[r, m, p] / total - (p == k)) / y.shape[1]


# One thread computes one row.
_CUDA = r"""
extern "C" __global__ void cross_entropy(
    const T* y, const long long* label, T* losses, T* gradient,
    int R, int M, int P, int label_R) {
    const long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= (long long)R * M) return;
    const T* y_row = y + row * P;
    T* gradient_row = gradient + row * P;
    const long long k = label[row / M % label_R * M + row % M];
    T largest = y_row[0], total = 0;
    for (int p = 0; p < P; ++p)
        if (!(y_row[p] <= largest)) largest = y_row[p];
    for (int p = 0; p < P; ++p)
        total += gradient_row[p] = exp(y_row[p] - largest);
    losses[row] = 0 <= k && k < P
        ? log(total) - (y_row[k] - largest)
        : (T)nan("");
    for (int p = 0; p < P; ++p)
        gradient_row[p] = (gradient_row[p] / total - (p == k)) / M;
}
"""

cross_entropy = Kernel(
    "cross_entropy",
    "T y[R,M,P], int64 label[R|1,M] -> T losses[R,M], T gradient[R,M,P]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["R"] * n["M"] + 127) // 128,),
    ulps=16,
)
