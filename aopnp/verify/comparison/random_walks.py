"""The product of nonnegative matrices by random walks (Cohen and Lewis 1999; arXiv 1805.08079, notebook).

    W2 = B 1,  W1 = A W2        step 1: from row i to j with chance A_ij W2_j / W1_i,  step 2: to l with B_jl / W2_j

A walk from i ends in l with probability C_il / W1_i, C = A B, so W1_i (walks that end in l) / walks is unbiased.
"""

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.kernels import inverse_cdf
from aopnp.estimators.policies.draws import BELOW_ONE


def random_walks(A: Array, B: Array, uniforms: Array) -> Array:
    """Return the estimate [R, M, P] of A [R, M, n] times B [R, n, P], NumPy arrays, nonnegative and float64.

    uniforms [R, M, S, 2] in [0, 1) are the two steps of S walks from every row. Raises ValueError for negative entries.
    """
    if min(A.min(), B.min()) < 0:
        raise ValueError(
            f"expected nonnegative matrices for random walks, got entries down to {min(A.min(), B.min())}; "
            "sample outer products instead"
        )
    (R, M, S, _), (n, P) = uniforms.shape, B.shape[1:]
    steps = A * B.sum(-1)[:, None, :]
    middle = _step(steps.reshape(R * M, n), uniforms[..., 0].reshape(R * M, S)).reshape(R, M * S)
    chances = np.take_along_axis(B, middle[..., None], 1).reshape(R * M * S, P)
    ends = _step(chances, uniforms[..., 1].reshape(-1, 1)).reshape(R, M, S)
    counts = (ends[..., None] == np.arange(P)).sum(2)
    return steps.sum(-1)[..., None] * counts / S


def _step(chances: Array, uniforms: Array) -> Array:
    """Return where to step, int64 [X, S], with chances [X, n]."""
    cdf = np.cumsum(chances, -1)
    return inverse_cdf(cdf, np.minimum(uniforms, BELOW_ONE) * cdf[:, -1:])
