"""Fold: add patches up where they came from, the adjoint of unfold (col2im).

    x[m, h, w, c] = sum of patches[m, i, j, a, b, c] over all taps with i stride + a - padding = h
                                                                   and  j stride + b - padding = w

geometry = (stride, padding), int64. Sums run in the order of the patches (i, then j) in every spelling.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.unfold import tap_positions


def reference(patches: Array, geometry: Array, H: int, W: int) -> Array:
    """Return x [R, M, H, W, C] of patches [R, M, I, J, A, B, C]."""
    xp, (R, M, I, J, A, B, C) = array_module(patches), patches.shape  # noqa: E741 - an axis
    h, w = tap_positions(geometry, H, I, A), tap_positions(geometry, W, J, B)
    framed = xp.zeros((R, M, H + 1, W + 1, C), patches.dtype)  # the frame takes what is outside
    every = slice(None)
    xp.add.at(framed, (every, every, h[:, None, :, None], w[:, None, :]), patches)
    return framed[:, :, :H, :W]


def _cpu(patches: Array, geometry: Array, x: Array) -> None:
    stride, padding = geometry
    R, M, I, J, A, B, C = patches.shape  # noqa: E741
    H, W = x.shape[2], x.shape[3]
    for r in range(R):
        for m in range(M):
            image, rows = x[r, m].reshape(H, W * C), patches[r, m].reshape(I, J, A, B * C)
            image[:] = 0
            for i in range(I):
                for j in range(J):
                    left = j * stride - padding
                    start = min(max(-left, 0), B) * C
                    stop = max(min(W - left, B) * C, start)
                    for a in range(A):
                        h, run = i * stride + a - padding, rows[i, j, a]
                        if 0 <= h < H:
                            for n in range(start, stop):
                                image[h, left * C + n] += run[n]


# One thread an element of x: it gathers from the patches that cover it, so nothing is added atomically.
_CUDA = r"""
extern "C" __global__ void fold(const T* patches, const long long* geometry, T* x,
                                int R, int M, int I, int J, int A, int B, int C, int G, int H, int W) {
    const long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= (long long)R * M * H * W * C) return;
    const long long stride = geometry[0], c = element % C, image = element / C / W / H;
    const long long bottom = element / C / W % H + geometry[1], right = element / C % W + geometry[1];
    const T* rows = patches + image * I * J * A * B * C;
    T total = 0;
    for (long long i = bottom < A ? 0 : (bottom - A) / stride + 1; i < I && i * stride <= bottom; ++i)
        for (long long j = right < B ? 0 : (right - B) / stride + 1; j < J && j * stride <= right; ++j)
            total += rows[(((i * J + j) * A + bottom - i * stride) * B + right - j * stride) * C + c];
    x[element] = total;
}
"""

fold = Kernel(
    "fold",
    "T patches[R,M,I,J,A,B,C], int64 geometry[G] -> T x[R,M,H,W,C]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["R"] * n["M"] * n["H"] * n["W"] * n["C"] + 127) // 128,),
)
