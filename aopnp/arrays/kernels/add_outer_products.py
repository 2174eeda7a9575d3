"""Add a sum of outer products straight into a matrix: the product over the kept rows.

    w <- w + scale sum over k < count of a_k b_k^T

BLAS gemm with beta = 1 does this without a temporary array of the size of w. Each replica has its
own call of gemm, on its own rows: padding all replicas to a common K, or joining them to one wide
product, would change the rounding, and a replica would no longer train in a stack as it does alone.
On a GPU the kernel runs its reference, which is one batched cuBLAS product.
"""

import functools
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels.kernel import Kernel


def reference(w: Array, a: Array, b: Array, scale: Array, count: Array) -> None:
    """Update w [R, N, P] in place.

    a [R or 1, K, N], b [R or 1, K, P], scale [R or 1], count [R].
    """
    xp = array_module(w, a, b, scale, count)
    in_use = xp.arange(b.shape[1]) < count[:, None]
    kept = xp.where(in_use[..., None], b, b.dtype.type(0))
    factor = scale[:, None, None].astype(w.dtype)
    w += factor * (a.swapaxes(-1, -2) @ kept)


def _cpu(w: Array, a: Array, b: Array, scale: Array, count: Array) -> None:
    gemm = _gemm(w.dtype.char)
    for r in range(len(w)):
        k = count[r]
        # BLAS reads columns first, which the transposed views of C-ordered arrays have. So it
        # computes w^T += scale b^T a.
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
    """Return BLAS gemm of single or double precision, by the character of the dtype."""
    # Imported here, because SciPy would take a quarter of the time of importing aopnp.
    from scipy.linalg import blas

    if char == np.dtype(np.float32).char:
        return blas.sgemm
    return blas.dgemm


add_outer_products = Kernel(
    "add_outer_products",
    "T w[R,N,P], T a[R|1,K,N], T b[R|1,K,P], host float64 scale[R|1], int64 count[R]",
    reference,
    cpu=_cpu,
    jit=False,
)
