"""Add a sum of outer products straight into a matrix: the product over the kept rows.

    w <- w + scale sum over k < count of a_k b_k^T

BLAS gemm with beta = 1 does it without a temporary of the size of w. One call a replica, on that replica's own
rows: padding to a common K, or folding replicas into one wide product, would change the rounding, and a replica
would no longer train as it does alone. On a GPU the reference is the spelling: one batched cuBLAS product.
"""

import functools
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(w: Array, a: Array, b: Array, scale: Array, count: Array) -> None:
    """Update w [R, N, P] in place by a [R or 1, K, N], b [R or 1, K, P], scale [R or 1], count [R]."""
    xp = array_module(w, a, b, scale, count)
    kept = xp.where((xp.arange(b.shape[1]) < count[:, None])[..., None], b, b.dtype.type(0))
    w += scale[:, None, None].astype(w.dtype) * (a.swapaxes(-1, -2) @ kept)


def _cpu(w: Array, a: Array, b: Array, scale: Array, count: Array) -> None:
    gemm = _gemm(w.dtype.char)
    for r in range(len(w)):
        k = count[r]
        # BLAS wants columns: the transposed views of C-ordered arrays are what it needs, w^T += scale b^T a.
        gemm(
            scale[r % len(scale)],
            b[r % len(b), :k].T,
            a[r % len(a), :k].T,
            1.0,
            w[r].T,
            trans_b=True,
            overwrite_c=True,
        )


@functools.cache
def _gemm(char: str) -> Any:
    from scipy.linalg import (
        blas,
    )  # here, because it is a quarter of the time that importing aopnp would take

    return blas.sgemm if char == np.dtype(np.float32).char else blas.dgemm


add_outer_products = Kernel(
    "add_outer_products",
    "T w[R,N,P], T a[R|1,K,N], T b[R|1,K,P], host float64 scale[R|1], int64 count[R]",
    reference,
    cpu=_cpu,
    jit=False,
)
