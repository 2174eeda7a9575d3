"""Unpack soft weights: integers of B bits that are stored as B bit planes, eight weights to a byte.

    level[s] = sum over k < B of 2^k (bit s % 8 of planes[k, s // 8])

Plane B - 1 holds the top bits alone, and the levels in the upper half are those with the top bit
set. `pack` is the inverse. `pack` and the reference run on the host, because CuPy cannot pack bits
along an axis.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(planes: Array, S: int) -> Array:
    """Return level uint8 [R, S] of planes [R, B, Q], S <= 8 Q."""
    xp = array_module(planes)
    bits = xp.unpackbits(planes, axis=-1, bitorder="little")[..., :S]
    places = xp.arange(planes.shape[1], dtype="uint8")
    return (bits << places[:, None]).sum(1, dtype="uint8")


def pack(level: Array, B: int) -> Array:
    """Return planes [R, B, Q] of level uint8 [R, S] < 2^B, Q = ceil(S / 8).

    The unused bits of the last byte are 0.
    """
    xp = array_module(level)
    places = xp.arange(B, dtype="uint8")
    bits = level[:, None] >> places[:, None] & 1
    return xp.packbits(bits, axis=-1, bitorder="little")


def _cpu(planes: Array, level: Array) -> None:
    R, B, _ = planes.shape
    for r in range(R):
        for s in range(level.shape[1]):
            total = 0
            for k in range(B):
                total |= (planes[r, k, s // 8] >> (s % 8) & 1) << k
            level[r, s] = total


_CUDA = r"""
extern "C" __global__ void unpack_levels(
    const unsigned char* planes, unsigned char* level, int R, int B, int Q, int S) {
    const int s = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (s >= S) return;
    int total = 0;
    for (int k = 0; k < B; ++k)
        total |= (planes[(r * B + k) * Q + s / 8] >> s % 8 & 1) << k;
    level[r * S + s] = total;
}
"""

unpack_levels = Kernel(
    "unpack_levels",
    "uint8 planes[R,B,Q] -> uint8 level[R,S]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["S"] + 127) // 128, n["R"]),
)
