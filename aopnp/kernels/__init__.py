"""Kernels: one file each, one formula in three spellings (array module, Numba, CUDA)."""

from aopnp.kernels.accumulate import accumulate
from aopnp.kernels.add_outer_products import add_outer_products
from aopnp.kernels.add_patch_products import add_patch_products
from aopnp.kernels.cross_entropy import cross_entropy
from aopnp.kernels.decode import decode
from aopnp.kernels.fold import fold
from aopnp.kernels.gather import gather
from aopnp.kernels.gather_columns import gather_columns
from aopnp.kernels.inverse_cdf import inverse_cdf
from aopnp.kernels.kernel import KERNELS, Kernel
from aopnp.kernels.log_column_squares import log_column_squares
from aopnp.kernels.log_norms import log_norms
from aopnp.kernels.max_pool import max_pool
from aopnp.kernels.move_levels import move_levels
from aopnp.kernels.philox import philox
from aopnp.kernels.scatter_columns import scatter_columns
from aopnp.kernels.scatter_pixels import scatter_pixels
from aopnp.kernels.select import select
from aopnp.kernels.signs import signs
from aopnp.kernels.softmax import softmax
from aopnp.kernels.unfold import unfold
from aopnp.kernels.unpack_levels import pack as pack_levels
from aopnp.kernels.unpack_levels import unpack_levels
from aopnp.kernels.unpack_signs import unpack_signs

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
