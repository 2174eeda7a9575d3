"""Mem-AOP-GD as the paper writes it, in plain loops over rows: an independent oracle.

    1  augment     A = A_mem + sqrt(lr) X        B = B_mem + sqrt(lr) G
    2  score       score_m = |a_m|^2 |b_m|^2, the squared norm of a_m b_m^T
    3  select      S = K of the M rows
    4  update      dW = sum over m in S of a_m b_m^T
    5  remember    A_mem, B_mem = sqrt(decay) (A, B) with the rows of S set to zero
    6  bias        db = lr times the sum over all m of g_m, always exact

(arXiv 2110.09164.) X [M, N] are the inputs of a dense layer, and G [M, P] are the gradients at its
outputs. Here the step size lr is inside the memory. The library keeps it outside
(`aopnp.estimators.memories.memory.carry_over`); both must apply the same dW. There is one network,
and nothing is shared with the library. Line 6 needs no memory and is not in this file.
"""

import numpy as np

from aopnp.arrays.backend import Array


class PaperMemory:
    """The memory of one dense layer of N inputs and P outputs, for batches of M rows."""

    def __init__(self, M: int, N: int, P: int, decay: float) -> None:
        self.A_mem = np.zeros((M, N))
        self.B_mem = np.zeros((M, P))
        self.decay = decay

    def update(self, X: Array, G: Array, lr: float, K: int, alpha: float, noise: Array) -> Array:
        """Return dW [N, P], to subtract from the weights, for X [M, N], G [M, P] and step size lr.

        Row m has the key `alpha log|a_m b_m^T| + noise[m]`. The policy topk is alpha = 1 with noise
        0; weightedk is alpha = 2, and randk alpha = 0, both with standard Gumbel noise [M].
        """
        M = len(X)

        # Line 1, augment: add the rows of this batch to the remembered rows.
        A = self.A_mem + np.sqrt(lr) * X
        B = self.B_mem + np.sqrt(lr) * G

        # Line 2, score: the norm of every outer product, which is the square root of its score.
        norms = [np.linalg.norm(np.outer(A[m], B[m])) for m in range(M)]

        # Line 3, select: the K rows with the largest keys; ties go to the lower row. The logarithm
        # of a zero row is that of the smallest number instead of minus infinity.
        tiny = np.finfo(np.float64).tiny
        keys = [alpha * np.log(max(norms[m], tiny)) + noise[m] for m in range(M)]
        best_first = sorted(range(M), key=lambda m: (-keys[m], m))
        S = best_first[:K]

        # Line 4, update: K outer products instead of M.
        dW = np.sum([np.outer(A[m], B[m]) for m in S], axis=0)

        # Line 5, remember: the rows of S are applied, and all other rows stay in the memory.
        self.A_mem = np.sqrt(self.decay) * A
        self.B_mem = np.sqrt(self.decay) * B
        self.A_mem[S] = 0
        self.B_mem[S] = 0

        return dW
