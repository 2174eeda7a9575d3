"""Unfold: all patches of channels-last images, as im2col (Chellapilla, Puri, Simard 2006).

    patches[m, i, j, a, b, c] = x[m, i stride + a - padding, j stride + b - padding, c]

Pixels outside the image are zero. geometry = (stride, padding), int64. A patch is one row of the
matrix whose product with the kernels' weights is the convolution. Along b and c a patch is a
contiguous run of the image: this is the reason for channels-last memory.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def tap_positions(geometry: Array, size: int, positions: int, taps: int) -> Array:
    """Return the place of each tap of each patch along one axis of `size` pixels.

    int64 [positions, taps]; `size` for a tap outside the image.
    """
    xp = array_module(geometry)
    stride, padding = geometry[0], geometry[1]
    place = xp.arange(positions)[:, None] * stride + xp.arange(taps) - padding
    return xp.where((place >= 0) & (place < size), place, size)


def reference(x: Array, geometry: Array, I: int, J: int, A: int, B: int) -> Array:  # noqa: E741
    """Return patches [R, M, I, J, A, B, C] of x [R, M, H, W, C]."""
    h = tap_positions(geometry, x.shape[2], I, A)
    w = tap_positions(geometry, x.shape[3], J, B)
    # Taps outside the image read zeros from one more row and column.
    no, one = (0, 0), (0, 1)
    framed = array_module(x).pad(x, [no, no, one, one, no])
    return framed[:, :, h[:, None, :, None], w[:, None, :]]


def _cpu(x: Array, geometry: Array, patches: Array) -> None:
    stride, padding = geometry
    R, M, I, J, A, B, C = patches.shape  # noqa: E741 - an axis
    H, W = x.shape[2], x.shape[3]
    for r in range(R):
        for m in range(M):
            image = x[r, m].reshape(H, W * C)
            rows = patches[r, m].reshape(I, J, A, B * C)
            for i in range(I):
                for j in range(J):
                    left = j * stride - padding
                    start = min(max(-left, 0), B) * C
                    stop = max(min(W - left, B) * C, start)
                    for a in range(A):
                        h = i * stride + a - padding
                        run = rows[i, j, a]
                        if 0 <= h < H:
                            run[:start] = 0
                            for n in range(start, stop):
                                run[n] = image[h, left * C + n]
                            run[stop:] = 0
                        else:
                            run[:] = 0


# One block copies one patch.
_CUDA = r"""
extern "C" __global__ void unfold(
    const T* x, const long long* geometry, T* patches,
    int R, int M, int H, int W, int C, int G, int I, int J, int A, int B) {
    const long long patch = (long long)blockIdx.y * gridDim.x + blockIdx.x;
    const int j = blockIdx.x % J, i = blockIdx.x / J % I;
    const T* image = x + patch / ((long long)I * J) * H * W * C;
    const long long top = i * geometry[0] - geometry[1],
                    left = j * geometry[0] - geometry[1];
    for (int n = threadIdx.x; n < A * B * C; n += blockDim.x) {
        const long long h = top + n / (B * C), w = left + n / C % B;
        const bool inside = 0 <= h && h < H && 0 <= w && w < W;
        patches[patch * A * B * C + n] = inside ? image[(h * W + w) * C + n % C] : (T)0;
    }
}
"""

unfold = Kernel(
    "unfold",
    "T x[R,M,H,W,C], int64 geometry[G] -> T patches[R,M,I,J,A,B,C]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: (n["M"] * n["I"] * n["J"], n["R"]),
)
