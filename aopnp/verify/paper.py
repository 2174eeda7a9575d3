"""Mem-AOP-GD as the paper writes it, with the step size inside the memory: an independent oracle.

    A = A_mem + sqrt(lr) X,  B = B_mem + sqrt(lr) G,  dW = sum over S of a_m b_m^T
    A_mem, B_mem = sqrt(decay) (A, B) with the rows of S set to zero                (arXiv 2110.09164)

The library keeps the step size outside (`aopnp.estimators.memories.memory.carry_over`); both must apply the same dW.
One network, plain loops over rows, nothing shared with the library.
"""

import numpy as np

from aopnp.arrays.backend import Array


class PaperMemory:
    """The state of one dense layer of N inputs and P outputs for batches of M rows."""

    def __init__(self, M: int, N: int, P: int, decay: float) -> None:
        self.a, self.b, self.decay = np.zeros((M, N)), np.zeros((M, P)), decay

    def update(self, x: Array, g: Array, lr: float, k: int, alpha: float, noise: Array) -> Array:
        """Return dW [N, P], what to subtract from the weights, for x [M, N], g [M, P] and a step of size lr.

        Rows are ranked by `alpha log|a_m b_m^T| + noise[m]`, ties to the lower row.
        """
        a, b = self.a + np.sqrt(lr) * x, self.b + np.sqrt(lr) * g
        keys = [
            alpha * np.log(np.linalg.norm(np.outer(a[m], b[m]))) + noise[m] for m in range(len(x))
        ]
        selected = sorted(range(len(x)), key=lambda m: (-keys[m], m))[:k]
        self.a, self.b = np.sqrt(self.decay) * a, np.sqrt(self.decay) * b
        self.a[selected], self.b[selected] = 0, 0
        return np.sum([np.outer(a[m], b[m]) for m in selected], axis=0)
