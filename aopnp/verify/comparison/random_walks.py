"""The product of two nonnegative matrices by random walks.

    W2 = B 1,  W1 = A W2
    step 1: from row i to j with chance A_ij W2_j / W1_i
    step 2: from j to l with chance B_jl / W2_j

A walk from i ends in l with probability C_il / W1_i, where C = A B. So W1_i times the number of
walks that end in l, divided by the number of all walks from i, is an unbiased estimate of C_il.
(Cohen and Lewis 1999; arXiv 1805.08079, notebook.)
"""

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.kernels import inverse_cdf
from aopnp.estimators.policies.draws import BELOW_ONE


def random_walks(A: Array, B: Array, uniforms: Array) -> Array:
    """Return the estimate [R, M, P] of A [R, M, n] times B [R, n, P].

    A and B are NumPy arrays, nonnegative and float64. uniforms [R, M, S, 2] in [0, 1) are the two
    steps of S walks from every row. Raises ValueError for negative entries.
    """
    least = min(A.min(), B.min())
    if least < 0:
        raise ValueError(
            f"expected nonnegative matrices for random walks, got entries down to {least}; "
            "sample outer products instead"
        )
    R, M, S, _ = uniforms.shape
    n, P = B.shape[1:]
    W2 = B.sum(-1)
    first = A * W2[:, None, :]
    W1 = first.sum(-1)
    u = uniforms[..., 0].reshape(R * M, S)
    middle = _step(first.reshape(R * M, n), u).reshape(R, M * S)
    second = np.take_along_axis(B, middle[..., None], 1)
    u = uniforms[..., 1].reshape(-1, 1)
    ends = _step(second.reshape(R * M * S, P), u).reshape(R, M, S)
    counts = (ends[..., None] == np.arange(P)).sum(2)
    return W1[..., None] * counts / S


def _step(chances: Array, uniforms: Array) -> Array:
    """Return the places that the walks step to, int64 [X, S], by chances [X, n]."""
    cdf = np.cumsum(chances, -1)
    total = cdf[:, -1:]
    return inverse_cdf(cdf, np.minimum(uniforms, BELOW_ONE) * total)
