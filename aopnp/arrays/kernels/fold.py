"""Fold: add patches up in the places that they came from, the adjoint of unfold (col2im).

    x[m, h, w, c] = sum of patches[m, i, j, a, b, c] over all taps (i, j, a, b)
                    with  i stride + a - padding = h  and  j stride + b - padding = w

geometry = (stride, padding), int64. Every spelling adds in the order of the patches (i, then j).
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.unfold import tap_positions


def reference(patches: Array, geometry: Array, H: int, W: int) -> Array:
    """Return x [R, M, H, W, C] of patches [R, M, I, J, A, B, C]."""
    xp = array_module(patches)
    R, M, I, J, A, B, C = patches.shape  # noqa: E741 - an axis
    h = tap_positions(geometry, H, I, A)
    w = tap_positions(geometry, W, J, B)
    # Taps outside the image are added to one more row and column, which are cut off in the end.
    framed = xp.zeros((R, M, H + 1, W + 1, C), patches.dtype)
    every = slice(None)
    places = (every, every, h[:, None, :, None], w[:, None, :])
    xp.add.at(framed, places, patches)
    return framed[:, :, :H, :W]


def _cpu(patches: Array, geometry: Array, x: Array) -> None:
    stride, padding = geometry
    R, M, I, J, A, B, C = patches.shape  # noqa: E741 - an axis
    H, W = x.shape[2], x.shape[3]
    for r in range(R):
        for m in range(M):
            image = x[r, m].reshape(H, W * C)
            rows = patches[r, m].reshape(I, J, A, B * C)
            image[:] = 0
            for i in range(I):
                for j in range(J):
                    left = j * stride - padding
                    start = min(max(-left, 0), B) * C
                    stop = max(min(W - left, B) * C, start)
                    for a in range(A):
                        h = i * stride + a - padding
                        run = rows[i, j, a]
                        if 0 <= h < H:
                            for n in range(start, stop):
                                image[h, left * C + n] += run[n]


def _grid(n: dict[str, int]) -> tuple[int, ...]:
    """Return the number of blocks: one thread for each element of x."""
    elements = n["R"] * n["M"] * n["H"] * n["W"] * n["C"]
    return ((elements + 127) // 128,)


# One thread computes one element of x from the patches that cover it, so no addition is atomic.
_CUDA = r"""
extern "C" __global__ void fold(
    const T* patches, const long long* geometry, T* x,
    int R, int M, int I, int J, int A, int B, int C, int G, int H, int W) {
    const long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= (long long)R * M * H * W * C) return;
    const long long stride = geometry[0], c = element % C, image = element / C / W / H;
    const long long bottom = element / C / W % H + geometry[1],
                    right = element / C % W + geometry[1];
    const T* rows = patches + image * I * J * A * B * C;
    T total = 0;
    for (long long i = bottom < A ? 0 : (bottom - A) / stride + 1;
         i < I && i * stride <= bottom; ++i)
        for (long long j = right < B ? 0 : (right - B) / stride + 1;
             j < J && j * stride <= right; ++j)
            total += rows[(((i * J + j) * A + bottom - i * stride) * B
                           + right - j * stride) * C + c];
    x[element] = total;
}
"""

fold = Kernel(
    "fold",
    "T patches[R,M,I,J,A,B,C], int64 geometry[G] -> T x[R,M,H,W,C]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=_grid,
)
