"""The product of two truncated singular value decompositions.

    C = A_K B_K,   A_K and B_K the best approximations of rank K

No sampling of K outer products knows these factors. The decomposition costs far more than the exact
product: it is a ceiling of accuracy to compare with (arXiv 1805.08079), not a method.
"""

import numpy as np

from aopnp.arrays.backend import Array


class LowRank:
    """The factors A [R, M, n] and B [R, n, P], decomposed once for products of any rank.

    A and B are NumPy arrays.
    """

    def __init__(self, A: Array, B: Array) -> None:
        self.factors = [np.linalg.svd(matrix, full_matrices=False) for matrix in (A, B)]

    def __call__(self, rank: int) -> Array:
        """Return the product [R, M, P] of both factors, truncated to `rank`."""
        truncated = []
        for U, s, Vh in self.factors:
            left = U[..., :rank] * s[..., None, :rank]
            truncated.append(left @ Vh[..., :rank, :])
        A_K, B_K = truncated
        return A_K @ B_K
