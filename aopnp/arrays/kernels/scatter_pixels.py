"""Scatter values to pixels of channels-last images: the adjoint of picking pixels (max pooling).

    x[m, pixels[m, i, j, c], c] += g[m, i, j, c]        in order of (i, j)

All other elements of x are zero.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(g: Array, pixels: Array, H: int, W: int) -> Array:
    """Return x [R, M, H, W, C] of g [R, M, I, J, C].

    pixels [R or 1, M, I, J, C] are places h W + w, which may repeat.
    """
    xp = array_module(g, pixels)
    R, M, _, _, C = g.shape
    x = xp.zeros((R, M, H * W, C), g.dtype)
    r = xp.arange(R)[:, None, None, None, None]
    m = xp.arange(M)[:, None, None, None]
    c = xp.arange(C)
    xp.add.at(x, (r, m, pixels, c), g)
    return x.reshape(R, M, H, W, C)


def _cpu(g: Array, pixels: Array, x: Array) -> None:
    R, M, I, J, C = g.shape  # noqa: E741 - an axis
    for r in range(R):
        for m in range(M):
            image = x[r, m].reshape(x.shape[2] * x.shape[3], C)
            image[:] = 0
            for i in range(I):
                for j in range(J):
                    for c in range(C):
                        image[pixels[r % pixels.shape[0], m, i, j, c], c] += g[r, m, i, j, c]


# One thread computes one channel of an image: all values that fall on a pixel are added by the same
# thread, without atomic additions.
_CUDA = r"""
extern "C" __global__ void scatter_pixels(
    const T* g, const long long* pixels, T* x,
    int R, int M, int I, int J, int C, int H, int W, int pixels_R) {
    const long long channel = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= (long long)R * M * C) return;
    const long long c = channel % C, m = channel / C % M, r = channel / C / M;
    const T* g_image = g + (r * M + m) * I * J * C;
    const long long* places = pixels + (r % pixels_R * M + m) * I * J * C;
    T* image = x + (r * M + m) * H * W * C;
    for (int place = 0; place < H * W; ++place)
        image[(long long)place * C + c] = 0;
    for (int window = 0; window < I * J; ++window) {
        const long long n = (long long)window * C + c;
        image[places[n] * C + c] += g_image[n];
    }
}
"""

scatter_pixels = Kernel(
    "scatter_pixels",
    "T g[R,M,I,J,C], int64 pixels[R|1,M,I,J,C] -> T x[R,M,H,W,C]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["R"] * n["M"] * n["C"] + 127) // 128,),
)
