"""The cost of a step before it is taken: flops, bytes and time of K outer products against all M.

    exact     2MNP flops
    AOP       2KNP flops

    time ~ flops + intensity * bytes

Bytes that the exact step moves: X and G are read once, the weights are read and written.

Bytes that an AOP step moves:

    accumulate and row norms    3 M(N+P) elements: A, B, X, G read once, A and B written once
    selection                   8 M log2(M) bytes of keys
    gather                      2 K(N+P) elements: K rows read and written
    product                     K(N+P) elements: the gathered rows read
    update                      the weights read and written

Accumulate, selection and gather are O(M(N+P)), and only the product shrinks with K: an AOP step
pays where min(N, P) is large, never at P = 1.
"""

import math
from dataclasses import dataclass
from numbers import Integral

INTENSITY = 4.0
"""Flops in the time of a byte.

Fitted to the growth record of experiments/BENCHMARKS.md: widths from 128, float32.
"""


@dataclass(frozen=True)
class Cost:
    """The cost of one weight-gradient step with its update."""

    exact_flops: int
    """2MNP: the exact product."""
    flops: int
    """2KNP: the product over the kept rows."""
    bytes_moved: int
    """Bytes moved by accumulate, norms, selection and gather, without the products' traffic."""
    ratio: float
    """Expected time, divided by that of the exact step; below 1 the step pays.

    The fixed costs of a call (tens of us) are not in it.
    """


def expected_cost(
    M: int, N: int, P: int, K: int, *, itemsize: int = 4, intensity: float = INTENSITY
) -> Cost:
    """Return the Cost of K of M outer products, row memory included, of N inputs and P outputs.

    `expected_cost(256, 1024, 1024, 32).ratio < 1` says that the step pays there. `intensity` is the
    number of flops that the machine does in the time of a byte, `itemsize` the bytes of an element.
    Raises ValueError unless 1 <= K <= M, all sizes are integers of at least 1, and intensity is
    positive.
    """
    _check(M, N, P, K, itemsize, intensity)
    row = itemsize * (N + P)
    weights = itemsize * 2 * N * P
    keys = 8 * M * math.ceil(math.log2(M))
    bytes_moved = 3 * M * row + keys + 2 * K * row
    exact_flops = 2 * M * N * P
    flops = 2 * K * N * P
    exact = exact_flops + intensity * (M * row + weights)
    ours = flops + intensity * (bytes_moved + K * row + weights)
    return Cost(exact_flops, flops, bytes_moved, ours / exact)


def _check(M: int, N: int, P: int, K: int, itemsize: int, intensity: float) -> None:
    sizes = {"M": M, "N": N, "P": P, "K": K, "itemsize": itemsize}
    for name, value in sizes.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(
                f"expected {name} to be an integer of at least 1, got {value!r}; "
                "count rows, not shares"
            )
    if K > M:
        raise ValueError(f"expected 1 <= K <= M = {M}, got K = {K}; lower K or enlarge the batch")
    if not 0 < intensity < math.inf:
        raise ValueError(
            f"expected a finite intensity > 0 in flops a byte, got {intensity}; CPUs have 1 to 20"
        )
