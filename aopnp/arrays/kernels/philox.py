"""Philox4x32-10: random numbers that are a pure function of a key and a counter.

    x = (s // 4, 0, low word of counter, high word of counter)
    k = (low word of key, high word of key)
    ten times, in 32 bits:
        x <- (high(M1 x2) ^ x1 ^ k0, low(M1 x2), high(M0 x0) ^ x3 ^ k1, low(M0 x0))
        k <- k + (W0, W1)
    uniform[s] = (word s % 4 of x + 1/2) / 2^32

Source: Salmon et al. 2011, section 3.3. A product of two words has 64 bits in every spelling, so
that all spellings give the same bits. The variates lie on a grid of 2^32 points inside the open
interval (0, 1), which is symmetric about 1/2, and are exact in float64. Different keys, counters or
places never share numbers: nothing is stored, and step 1000 does not need step 999.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel

ROUNDS = 10
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
"""The multipliers."""
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
"""The increments of the key words."""
WORD, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
"""The mask of the low word of 64 bits, and the shift that gives the high word."""


def words(
    x: tuple[Array, Array, Array, Array], k: tuple[Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """Return the four random words of counter words x under key words k.

    All of them have 32 bits, and are held in uint64.
    """
    x0, x1, x2, x3 = x
    k0, k1 = k
    for _ in range(ROUNDS):
        a = M0 * x0
        b = M1 * x2
        x0 = (b >> HALF) ^ x1 ^ k0
        x1 = b & WORD
        x2 = (a >> HALF) ^ x3 ^ k1
        x3 = a & WORD
        k0 = (k0 + W0) & WORD
        k1 = (k1 + W1) & WORD
    return x0, x1, x2, x3


def low_and_high(numbers: Array) -> tuple[Array, Array]:
    """Return the low and the high word, uint64 [n, 1], of 64-bit integers [n]."""
    column = numbers[:, None]
    low = (column & 0xFFFFFFFF).astype(np.uint64)
    high = (column >> 32 & 0xFFFFFFFF).astype(np.uint64)
    return low, high


def reference(key: Array, counter: Array, S: int) -> Array:
    """Return uniform [R, S], S < 2^31; key [R] and counter [R or 1] are 64 bits each."""
    xp = array_module(key, counter)
    block = xp.arange((S + 3) // 4).astype(np.uint64)[None]
    low, high = low_and_high(counter)
    x = words((block, xp.zeros_like(block), low, high), low_and_high(key))
    in_order = xp.stack(x, -1).reshape(len(key), -1)
    return (in_order[:, :S] + 0.5) * 2.0**-32


def _cpu(key: Array, counter: Array, uniform: Array) -> None:
    S = uniform.shape[1]
    for r in range(uniform.shape[0]):
        count = counter[r % counter.shape[0]]
        for block in range((S + 3) // 4):
            x0, x1 = np.uint64(block), np.uint64(0)
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
            for place, word in enumerate((x0, x1, x2, x3)):
                if 4 * block + place < S:
                    uniform[r, 4 * block + place] = (word + 0.5) * 2.0**-32


TEN_ROUNDS = r"""
    for (int round = 0; round < 10; ++round) {
        const unsigned long long a = 0xD2511F53ULL * x0, b = 0xCD9E8D57ULL * x2;
        x0 = (unsigned)(b >> 32) ^ x1 ^ k0;
        x1 = b;
        x2 = (unsigned)(a >> 32) ^ x3 ^ k1;
        x3 = a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const unsigned word[4] = {x0, x1, x2, x3};
"""
"""The rounds in CUDA: they take x0 ... x3, k0 and k1, and leave the random words in `word`."""

# One thread makes the four numbers of a counter.
_CUDA = (
    r"""
extern "C" __global__ void philox(
    const long long* key, const long long* counter, double* uniform,
    int R, int S, int counter_R) {
    const int block = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    const unsigned long long count = counter[r % counter_R];
    unsigned x0 = block, x1 = 0, x2 = count, x3 = count >> 32;
    unsigned k0 = key[r], k1 = (unsigned long long)key[r] >> 32;
"""
    + TEN_ROUNDS
    + r"""    for (long long place = 0, s = 4LL * block; place < 4 && s < S; ++place, ++s)
        uniform[r * S + s] = (word[place] + 0.5) / 4294967296.0;
}
"""
)

philox = Kernel(
    "philox",
    "int64 key[R], int64 counter[R|1] -> float64 uniform[R,S]",
    reference,
    cpu=_cpu,
    cuda=_CUDA,
    grid=lambda n: ((n["S"] + 511) // 512, n["R"]),
)
