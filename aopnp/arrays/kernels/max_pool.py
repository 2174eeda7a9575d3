"""Max pooling of channels-last images, with the place of each maximum.

    y[m, i, j, c] = max over a < A, b < B of x[m, i stride + a, j stride' + b, c]
    pixels[m, i, j, c] = h W + w of the pixel (h, w) where the maximum lies

window = (A, B, stride, stride'), int64. Of equal values the first in the order of (a, b) is the
maximum. NaN counts as larger than all numbers, so that it stays visible. A window that leaves the
image reads the pixels at the edge of the image there.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(x: Array, window: Array, I: int, J: int) -> tuple[Array, Array]:  # noqa: E741
    """Return y and pixels int64, both [R, M, I, J, C], of x [R, M, H, W, C]."""
    xp = array_module(x, window)
    R, M, H, W, C = x.shape
    A, B, down, right = (int(number) for number in window)
    h = xp.minimum(xp.arange(I)[:, None] * down + xp.arange(A), H - 1)
    w = xp.minimum(xp.arange(J)[:, None] * right + xp.arange(B), W - 1)
    places = h[:, None, :, None] * W + w[:, None, :]
    places = places.reshape(I, J, A * B)
    values = x.reshape(R, M, H * W, C)[:, :, places]
    largest = values.argmax(-2)[..., None, :]
    y = xp.take_along_axis(values, largest, -2)
    of_all_values = xp.broadcast_to(places[..., None], values.shape)
    pixels = xp.take_along_axis(of_all_values, largest, -2)
    return y[..., 0, :], pixels[..., 0, :]


def _cpu(x: Array, window: Array, y: Array, pixels: Array) -> None:
    A, B, down, right = window
    R, M, H, W, C = x.shape
    for r in range(R):
        for m in range(M):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    best = y[r, m, i, j]
                    place = pixels[r, m, i, j]
                    for a in range(A):
                        h = min(i * down + a, H - 1)
                        for b in range(B):
                            w = min(j * right + b, W - 1)
                            first = a == 0 and b == 0
                            for c in range(C):
                                value = x[r, m, h, w, c]
                                if first or not (value <= best[c] or best[c] != best[c]):
                                    best[c] = value
                                    place[c] = h * W + w


def _grid(n: dict[str, int]) -> tuple[int, ...]:
    """Return the number of blocks: one thread for each element of y."""
    elements = n["R"] * n["M"] * n["I"] * n["J"] * n["C"]
    return ((elements + 127) // 128,)


_CUDA = r"""
extern "C" __global__ void max_pool(
    const T* x, const long long* window, T* y, long long* pixels,
    int R, int M, int H, int W, int C, int V, int I, int J) {
    const long long element = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (element >= (long long)R * M * I * J * C) return;
    const long long c = element % C, image = element / C / J / I;
    const long long top = element / C / J % I * window[2], left = element / C % J * window[3];
    const T* x_image = x + image * H * W * C;
    T best = 0;
    long long place = -1;
    for (long long a = 0; a < window[0]; ++a)
        for (long long b = 0; b < window[1]; ++b) {
            const long long h = top + a < H ? top + a : H - 1,
                            w = left + b < W ? left + b : W - 1;
            const T value = x_image[(h * W + w) * C + c];
            if (place < 0 || !(value <= best || isnan(best))) {
                best = value;
                place = h * W + w;
            }
        }
    y[element] = best;
    pixels[element] = place;
}
"""

max_pool = Kernel(
    "max_pool",
    "T x[R,M,H,W,C], int64 window[V] -> T y[R,M,I,J,C], int64 pixels[R,M,I,J,C]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=_grid,
)
