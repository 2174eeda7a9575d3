"""Kernels: one file each, one formula in three spellings (array module, Numba, CUDA)."""

from aopnp.kernels.accumulate import accumulate
from aopnp.kernels.add_outer_products import add_outer_products
from aopnp.kernels.cross_entropy import cross_entropy
from aopnp.kernels.decode import decode
from aopnp.kernels.gather import gather
from aopnp.kernels.kernel import KERNELS, Kernel
from aopnp.kernels.log_norms import log_norms
from aopnp.kernels.select import select
from aopnp.kernels.softmax import softmax

__all__ = [
    "KERNELS",
    "Kernel",
    "accumulate",
    "add_outer_products",
    "cross_entropy",
    "decode",
    "gather",
    "log_norms",
    "select",
    "softmax",
]
