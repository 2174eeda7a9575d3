"""The product of two truncated singular value decompositions: what no sampling of K outer products can know.

    C = A_K B_K,   A_K and B_K the best approximations of rank K

It costs far more than the exact product: a ceiling of accuracy to compare with (arXiv 1805.08079), not a method.
"""

import numpy as np

from aopnp.arrays.backend import Array


class LowRank:
    """The factors A [R, M, n] and B [R, n, P], NumPy arrays, decomposed once for products of any rank."""

    def __init__(self, A: Array, B: Array) -> None:
        self.factors = [np.linalg.svd(matrix, full_matrices=False) for matrix in (A, B)]

    def __call__(self, rank: int) -> Array:
        """Return the product [R, M, P] of both factors truncated to `rank`."""
        left, right = (
            (U[..., :rank] * s[..., None, :rank]) @ Vh[..., :rank, :] for U, s, Vh in self.factors
        )
        return left @ right
