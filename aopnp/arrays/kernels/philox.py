"""Philox4x32-10: random numbers that are a pure function of a key and a counter (Salmon et al. 2011, section 3.3).

    x = (s // 4, 0, low and high word of counter)      k = (low, high word of key)      then ten times, in 32 bits,
    x = (high(M1 x2) ^ x1 ^ k0, low(M1 x2), high(M0 x0) ^ x3 ^ k1, low(M0 x0))          k = k + (W0, W1)
    uniform[s] = (word s % 4 of x + 1/2) / 2^32

A product of two words has 64 bits, in every spelling, so all give the same bits. The variates lie on a grid of 2^32
points inside the open interval (0, 1), symmetric about 1/2, and are exact in float64. Different keys, counters or
places never share numbers: nothing is stored, and step 1000 needs no step 999.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel

ROUNDS = 10
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
WORD, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def words(
    x: tuple[Array, Array, Array, Array], k: tuple[Array, Array]
) -> tuple[Array, Array, Array, Array]:
    """Return the four random words of counter words x under key words k, all of them 32 bits held in uint64."""
    for _ in range(ROUNDS):
        a, b = M0 * x[0], M1 * x[2]
        x = (b >> HALF) ^ x[1] ^ k[0], b & WORD, (a >> HALF) ^ x[3] ^ k[1], a & WORD
        k = (k[0] + W0) & WORD, (k[1] + W1) & WORD
    return x


def reference(key: Array, counter: Array, S: int) -> Array:
    """Return uniform [R, S], S < 2^31; key [R] and counter [R or 1] are 64 bits each."""
    xp = array_module(key, counter)
    low, high = (
        [(v[:, None] >> shift & 0xFFFFFFFF).astype(np.uint64) for v in (key, counter)]
        for shift in (0, 32)
    )
    block = xp.arange((S + 3) // 4).astype(np.uint64)[None]
    x = words((block, xp.zeros_like(block), low[1], high[1]), (low[0], high[0]))
    return (xp.stack(x, -1).reshape(len(key), -1)[:, :S] + 0.5) * 2.0**-32


def _cpu(key: Array, counter: Array, uniform: Array) -> None:
    S = uniform.shape[1]
    for r in range(uniform.shape[0]):
        count = counter[r % counter.shape[0]]
        for block in range((S + 3) // 4):
            x0, x1 = np.uint64(block), np.uint64(0)
            x2, x3 = np.uint64(count & 0xFFFFFFFF), np.uint64(count >> 32 & 0xFFFFFFFF)
            k0, k1 = np.uint64(key[r] & 0xFFFFFFFF), np.uint64(key[r] >> 32 & 0xFFFFFFFF)
            for _ in range(ROUNDS):
                a, b = M0 * x0, M1 * x2
                x0, x1, x2, x3 = (b >> HALF) ^ x1 ^ k0, b & WORD, (a >> HALF) ^ x3 ^ k1, a & WORD
                k0, k1 = (k0 + W0) & WORD, (k1 + W1) & WORD
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
"""In CUDA: from x0 ... x3, k0 and k1 to the random `word`s."""

# One thread makes the four numbers of a counter.
_CUDA = (
    r"""
extern "C" __global__ void philox(const long long* key, const long long* counter, double* uniform,
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
