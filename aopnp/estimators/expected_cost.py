"""What a step costs before it is taken: flops, bytes and the expected time of K outer products against all M.

    exact     2MNP flops; X and G read once, the weights read and written
    AOP       2KNP flops; accumulate and row norms: A, B, X, G read once, A and B written once, 3 M(N+P) elements;
              selection: 8 M log2(M) bytes of keys; gather: K rows read and written, 2 K(N+P), and read by the product,
              K(N+P); the weights read and written

    time ~ flops + intensity * bytes

Three of these are O(M(N+P)) and only the product shrinks with K: it pays where min(N, P) is large, never at P = 1.
"""

import math
from dataclasses import dataclass
from numbers import Integral

INTENSITY = 4.0
"""Flops in the time of a byte: fitted to the growth record of experiments/BENCHMARKS.md, widths from 128, float32."""


@dataclass(frozen=True)
class Cost:
    """What one weight-gradient step with its update costs."""

    exact_flops: int
    """2MNP: the exact product."""
    flops: int
    """2KNP: the product over the kept rows."""
    bytes_moved: int
    """What accumulate, norms, selection and gather move; neither product's own traffic."""
    ratio: float
    """Expected time over the exact step's; below 1 it pays. Fixed costs of a call (tens of us) are not in it."""


def expected_cost(
    M: int, N: int, P: int, K: int, *, itemsize: int = 4, intensity: float = INTENSITY
) -> Cost:
    """Return the Cost of K of M outer products, row memory included, in a layer of N inputs and P outputs.

    `expected_cost(256, 1024, 1024, 32).ratio < 1` says that it pays there. `intensity` is how many
    flops the machine does in the time of a byte, `itemsize` the bytes of an element. Raises
    ValueError unless 1 <= K <= M, N and P are integers of at least 1 and intensity and itemsize
    are positive.
    """
    _check(M, N, P, K, itemsize, intensity)
    rows = itemsize * (N + P)
    weights = itemsize * 2 * N * P
    bytes_moved = 3 * M * rows + 8 * M * math.ceil(math.log2(M)) + 2 * K * rows
    exact_flops, flops = 2 * M * N * P, 2 * K * N * P
    exact = exact_flops + intensity * (M * rows + weights)
    ours = flops + intensity * (bytes_moved + K * rows + weights)
    return Cost(exact_flops, flops, bytes_moved, ours / exact)


def _check(M: int, N: int, P: int, K: int, itemsize: int, intensity: float) -> None:
    for name, value in {"M": M, "N": N, "P": P, "K": K, "itemsize": itemsize}.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(
                f"expected {name} to be an integer of at least 1, got {value!r}; count rows, not shares"
            )
    if K > M:
        raise ValueError(f"expected 1 <= K <= M = {M}, got K = {K}; lower K or enlarge the batch")
    if not 0 < intensity < math.inf:
        raise ValueError(
            f"expected a finite intensity > 0 in flops a byte, got {intensity}; CPUs have 1 to 20"
        )
