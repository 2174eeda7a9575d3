"""Move soft weights that are stored as levels, in place, by displacements rounded to whole levels.

    j[s] <- clip(j[s] + floor(d[s] / Delta + chance[s % U]), 0, 2^B - 1)     Delta = 2 / (2^B - 1)

j[s] is the level of weight s and d[s] its displacement. With chances that are uniform in (0, 1) the
rounding is stochastic, and exact on average; with chances of 1/2 it is to the nearest level. The
bit planes are those of `unpack_levels`. d / Delta is computed in float64. An infinite displacement
moves a level to an end. A displacement that is NaN moves no level, because no level can represent
NaN.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.unpack_levels import pack
from aopnp.arrays.kernels.unpack_levels import reference as unpack


def reference(planes: Array, displacement: Array, chance: Array) -> None:
    """Update planes uint8 [R, B, Q] in place.

    displacement [R, S] with S <= 8 Q, chance [R or 1, U].
    """
    xp = array_module(planes, displacement, chance)
    _, B, Q = planes.shape
    S = displacement.shape[1]
    top = 2**B - 1
    level = unpack(planes, 8 * Q)
    chances = chance[:, xp.arange(S) % chance.shape[1]]
    steps = xp.floor(top / 2 * displacement.astype(np.float64) + chances)
    moved = level[:, :S] + steps
    level[:, :S] = xp.where(xp.isnan(moved), level[:, :S], xp.clip(moved, 0, top))
    planes[...] = pack(level, B)


def _cpu(planes: Array, displacement: Array, chance: Array) -> None:
    R, B, Q = planes.shape
    S, U = displacement.shape[1], chance.shape[1]
    top = (1 << B) - 1
    for r in range(R):
        chance_r = r % chance.shape[0]
        for q in range(Q):
            for i in range(min(8, S - 8 * q)):
                s = 8 * q + i
                exact = top / 2 * np.float64(displacement[r, s])
                steps = np.floor(exact + chance[chance_r, s % U])
                # In most steps most weights do not move.
                if steps == 0 or np.isnan(steps):
                    continue
                level = 0
                for k in range(B):
                    level |= (planes[r, k, q] >> i & 1) << k
                level = int(min(max(level + steps, 0), top))
                for k in range(B):
                    others = planes[r, k, q] & (255 - (1 << i))
                    planes[r, k, q] = others | (level >> k & 1) << i


# One thread moves the eight weights of a byte, so that no two threads write to the same byte.
_CUDA = r"""
extern "C" __global__ void move_levels(
    unsigned char* planes, const T* displacement, const double* chance,
    int R, int B, int Q, int S, int U, int chance_R) {
    const int q = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (q >= Q) return;
    const double top = (1 << B) - 1;
    unsigned char* bytes = planes + r * B * Q + q;
    for (int i = 0; i < 8 && 8LL * q + i < S; ++i) {
        const long long s = 8LL * q + i;
        const double steps = floor(
            top / 2 * displacement[r * S + s] + chance[r % chance_R * U + s % U]);
        if (steps == 0 || isnan(steps)) continue;
        int level = 0;
        for (int k = 0; k < B; ++k)
            level |= (bytes[(long long)k * Q] >> i & 1) << k;
        level = (int)fmin(fmax(level + steps, 0.0), top);
        for (int k = 0; k < B; ++k) {
            unsigned char* byte = bytes + (long long)k * Q;
            *byte = (*byte & ~(1 << i)) | (level >> k & 1) << i;
        }
    }
}
"""

move_levels = Kernel(
    "move_levels",
    "uint8 planes[R,B,Q], T displacement[R,S], float64 chance[R|1,U]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["Q"] + 127) // 128, n["R"]),
)
