"""Random signs, as many as Philox has bits: 128 of them cost what four uniform variates do.

    signs[s] = +size where bit[s] is set, else -size        s = 16384 tile + 128 i + lane        i = 0, ..., 127
    bit[s] = bit i % 32 of word i // 32 of Philox4x32-10 at (128 tile + lane, 1, low and high word of counter)

128 lanes side by side make a block of bits each and then write neighbours: a vector on a CPU, a block on a GPU. The 1
in the counter keeps the bits apart from those of `philox` under the same key.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.philox import HALF, M0, M1, ROUNDS, TEN_ROUNDS, W0, W1, WORD, words

LANES = 128
TILE = LANES * 128


def reference(key: Array, counter: Array, size: Array, S: int) -> Array:
    """Return signs [R, S] of size [R], S < 2^31; key [R] and counter [R or 1] are 64 bits each."""
    xp, tiles = array_module(key, counter, size), -(-S // TILE)
    low, high = (
        [(v[:, None] >> shift & 0xFFFFFFFF).astype(np.uint64) for v in (key, counter)]
        for shift in (0, 32)
    )
    block = xp.arange(LANES * tiles).astype(np.uint64)[None]
    x = words((block, xp.ones_like(block), low[1], high[1]), (low[0], high[0]))
    lanes = xp.stack([word.reshape(len(key), tiles, 1, LANES) for word in x], 2)
    bits = lanes >> xp.arange(32).astype(np.uint64)[:, None] & np.uint64(1)
    return xp.where(bits.reshape(len(key), -1)[:, :S] == 1, size[:, None], -size[:, None])


def _cpu(key: Array, counter: Array, size: Array, signs: Array) -> None:
    S = signs.shape[1]
    bits = np.empty((4, LANES), np.uint32)
    for r in range(signs.shape[0]):
        count = counter[r % counter.shape[0]]
        for tile in range((S + TILE - 1) // TILE):
            for lane in range(min(LANES, S - tile * TILE)):
                x0, x1 = np.uint64(tile * LANES + lane), np.uint64(1)
                x2, x3 = np.uint64(count & 0xFFFFFFFF), np.uint64(count >> 32 & 0xFFFFFFFF)
                k0, k1 = np.uint64(key[r] & 0xFFFFFFFF), np.uint64(key[r] >> 32 & 0xFFFFFFFF)
                for _ in range(ROUNDS):
                    a, b = M0 * x0, M1 * x2
                    x0, x1, x2, x3 = (
                        (b >> HALF) ^ x1 ^ k0,
                        b & WORD,
                        (a >> HALF) ^ x3 ^ k1,
                        a & WORD,
                    )
                    k0, k1 = (k0 + W0) & WORD, (k1 + W1) & WORD
                bits[0, lane], bits[1, lane], bits[2, lane], bits[3, lane] = x0, x1, x2, x3
            for i in range(128):
                start, word, mask = tile * TILE + i * LANES, i // 32, np.uint32(1 << i % 32)
                for lane in range(min(LANES, S - start)):
                    signs[r, start + lane] = size[r] if bits[word, lane] & mask else -size[r]


_CUDA = (
    r"""
extern "C" __global__ void signs(const long long* key, const long long* counter, const T* size, T* signs,
                                 int R, int S, int counter_R) {
    const long long r = blockIdx.y, start = 16384LL * blockIdx.x + threadIdx.x;    // one thread a lane
    const unsigned long long count = counter[r % counter_R];
    unsigned x0 = 128 * blockIdx.x + threadIdx.x, x1 = 1, x2 = count, x3 = count >> 32;
    unsigned k0 = key[r], k1 = (unsigned long long)key[r] >> 32;
"""
    + TEN_ROUNDS
    + r"""    for (int i = 0; i < 128 && start + 128 * i < S; ++i)
        signs[r * S + start + 128 * i] = word[i / 32] >> i % 32 & 1 ? size[r] : -size[r];
}
"""
)

signs = Kernel(
    "signs",
    "int64 key[R], int64 counter[R|1], T size[R] -> T signs[R,S]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["S"] + TILE - 1) // TILE, n["R"]),
)
