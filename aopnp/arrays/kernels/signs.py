"""Random signs, one for each bit of Philox: 128 of them cost as much as four uniform variates.

    signs[s] = +size where bit[s] is set, else -size
               s = 16384 tile + 128 i + lane        i = 0, ..., 127
    bit[s]   = bit i % 32 of word i // 32 of Philox4x32-10
               at the counter words (128 tile + lane, 1, low and high word of counter)

128 lanes work side by side: each lane makes a block of 128 bits, and then the lanes write
neighbouring signs. They are a vector on a CPU and a block of threads on a GPU. The 1 in the counter
keeps these bits apart from those that `philox` makes under the same key.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel
from aopnp.arrays.kernels.philox import (
    HALF,
    M0,
    M1,
    ROUNDS,
    TEN_ROUNDS,
    W0,
    W1,
    WORD,
    low_and_high,
    words,
)

LANES = 128
TILE = LANES * 128
"""Signs that the lanes make from one block of bits each."""


def reference(key: Array, counter: Array, size: Array, S: int) -> Array:
    """Return signs [R, S] of size [R], S < 2^31; key [R] and counter [R or 1] are 64 bits each."""
    xp = array_module(key, counter, size)
    tiles = -(-S // TILE)
    block = xp.arange(LANES * tiles).astype(np.uint64)[None]
    low, high = low_and_high(counter)
    x = words((block, xp.ones_like(block), low, high), low_and_high(key))
    lanes = xp.stack([word.reshape(len(key), tiles, 1, LANES) for word in x], 2)
    places = xp.arange(32).astype(np.uint64)[:, None]
    bits = lanes >> places & np.uint64(1)
    in_order = bits.reshape(len(key), -1)[:, :S]
    return xp.where(in_order == 1, size[:, None], -size[:, None])


def _cpu(key: Array, counter: Array, size: Array, signs: Array) -> None:
    S = signs.shape[1]
    bits = np.empty((4, LANES), np.uint32)
    for r in range(signs.shape[0]):
        count = counter[r % counter.shape[0]]
        for tile in range((S + TILE - 1) // TILE):
            for lane in range(min(LANES, S - tile * TILE)):
                x0, x1 = np.uint64(tile * LANES + lane), np.uint64(1)
                x2 = np.uint64(count & 0xFFFFFFFF)
                x3 = np.uint64(count >> 32 & 0xFFFFFFFF)
                k0 = np.uint64(key[r] & 0xFFFFFFFF)
                k1 = np.uint64(key[r] >> 32 & 0xFFFFFFFF)
                for _ in range(ROUNDS):
                    a = M0 * x0
                    b = M1 * x2
                    x0 = (b >> HALF) ^ x1 ^ k0
                    x1 = b & WORD
                    x2 = (a >> HALF) ^ x3 ^ k1
                    x3 = a & WORD
                    k0 = (k0 + W0) & WORD
                    k1 = (k1 + W1) & WORD
                bits[0, lane] = x0
                bits[1, lane] = x1
                bits[2, lane] = x2
                bits[3, lane] = x3
            for i in range(128):
                start = tile * TILE + i * LANES
                word = i // 32
                mask = np.uint32(1 << i % 32)
                for lane in range(min(LANES, S - start)):
                    signs[r, start + lane] = size[r] if bits[word, lane] & mask else -size[r]


# One thread is one lane.
_CUDA = (
    r"""
extern "C" __global__ void signs(
    const long long* key, const long long* counter, const T* size, T* signs,
    int R, int S, int counter_R) {
    const long long r = blockIdx.y, start = 16384LL * blockIdx.x + threadIdx.x;
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
