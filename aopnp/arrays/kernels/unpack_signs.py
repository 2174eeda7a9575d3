"""Unpack binary weights: the top bit of a soft weight chooses between the two values of a weight.

    w[s] = values[bit s % 8 of planes[B - 1, s // 8]]

The planes are those of `unpack_levels`; this kernel reads only the last one. values = (-1, 1), in
the dtype of w.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(planes: Array, values: Array, S: int) -> Array:
    """Return w [R, S] of planes uint8 [R, B, Q], S <= 8 Q, and values [2]."""
    xp = array_module(planes)
    bits = xp.unpackbits(planes[:, -1], axis=-1, bitorder="little")
    return values[bits[:, :S]]


def _cpu(planes: Array, values: Array, w: Array) -> None:
    R, B, Q = planes.shape
    S = w.shape[1]
    for r in range(R):
        for q in range(Q):
            byte = planes[r, B - 1, q]
            for i in range(min(8, S - 8 * q)):
                w[r, 8 * q + i] = values[byte >> i & 1]


_CUDA = r"""
extern "C" __global__ void unpack_signs(
    const unsigned char* planes, const T* values, T* w, int R, int B, int Q, int G, int S) {
    const int s = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (s < S)
        w[r * S + s] = values[planes[(r * B + B - 1) * Q + s / 8] >> s % 8 & 1];
}
"""

unpack_signs = Kernel(
    "unpack_signs",
    "uint8 planes[R,B,Q], T values[G] -> T w[R,S]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["S"] + 127) // 128, n["R"]),
)
