"""Kernels: one file for each formula, which is spelled three times (array module, Numba, CUDA)."""

from aopnp.arrays.kernels.accumulate import accumulate
from aopnp.arrays.kernels.add_outer_products import add_outer_products
from aopnp.arrays.kernels.add_patch_products import add_patch_products
from aopnp.arrays.kernels.cross_entropy import cross_entropy
from aopnp.arrays.kernels.decode import decode
from aopnp.arrays.kernels.fold import fold
from aopnp.arrays.kernels.gather import gather
from aopnp.arrays.kernels.gather_columns import gather_columns
from aopnp.arrays.kernels.inverse_cdf import inverse_cdf
from aopnp.arrays.kernels.kernel import KERNELS, Kernel
from aopnp.arrays.kernels.log_column_squares import log_column_squares
from aopnp.arrays.kernels.log_norms import log_norms
from aopnp.arrays.kernels.max_pool import max_pool
from aopnp.arrays.kernels.move_levels import move_levels
from aopnp.arrays.kernels.philox import philox
from aopnp.arrays.kernels.scatter_columns import scatter_columns
from aopnp.arrays.kernels.scatter_pixels import scatter_pixels
from aopnp.arrays.kernels.select import select
from aopnp.arrays.kernels.signs import signs
from aopnp.arrays.kernels.softmax import softmax
from aopnp.arrays.kernels.unfold import unfold
from aopnp.arrays.kernels.unpack_levels import pack as pack_levels
from aopnp.arrays.kernels.unpack_levels import unpack_levels
from aopnp.arrays.kernels.unpack_signs import unpack_signs

__all__ = [
    "KERNELS",
    "Kernel",
    "accumulate",
    "add_outer_products",
    "add_patch_products",
    "cross_entropy",
    "decode",
    "fold",
    "gather",
    "gather_columns",
    "inverse_cdf",
    "log_column_squares",
    "log_norms",
    "max_pool",
    "move_levels",
    "pack_levels",
    "philox",
    "scatter_columns",
    "scatter_pixels",
    "select",
    "signs",
    "softmax",
    "unfold",
    "unpack_levels",
    "unpack_signs",
]
