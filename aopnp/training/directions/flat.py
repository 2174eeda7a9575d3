"""All parameters as one vector, and sets of directions as matrices of columns.

Such a matrix is [R or 1, n, J]: n entries of one parameter, or of all, and J directions.
"""

from collections.abc import Sequence
from itertools import accumulate

from aopnp.arrays.backend import Array, array_module
from aopnp.training.directions.entries import flattened, shaped
from aopnp.training.directions.strategy import ForwardPass, Tangents, entry_count


def columns(forward_pass: ForwardPass, v: Tangents) -> list[Array]:
    """Return the directions of each parameter as columns of a matrix [R or 1, entries, J]."""
    matrices = []
    for directions, parameter in zip(v, forward_pass.parameters, strict=True):
        rows = flattened(directions, parameter)
        matrices.append(forward_pass.xp.moveaxis(rows, 0, -1))
    return matrices


def tangents(forward_pass: ForwardPass, matrices: Sequence[Array]) -> Tangents:
    """Return the directions that are the columns of `matrices`: the inverse of `columns`."""
    xp, v = forward_pass.xp, []
    for matrix, parameter in zip(matrices, forward_pass.parameters, strict=True):
        rows = xp.ascontiguousarray(xp.moveaxis(matrix, -1, 0))
        v.append(shaped(rows, parameter))
    return v


def join_parameters(matrices: Sequence[Array]) -> Array:
    """Return the matrices of all parameters one below the other [R or 1, n, J]."""
    return array_module(*matrices).concatenate(matrices, -2)


def split_by_parameter(forward_pass: ForwardPass, matrix: Array) -> list[Array]:
    """Return the matrix of each parameter: the inverse of `join_parameters`."""
    ends = list(accumulate(map(entry_count, forward_pass.parameters)))
    starts = [0, *ends]
    return [matrix[..., a:b, :] for a, b in zip(starts, ends, strict=False)]


def orthonormal(matrix: Array) -> Array:
    """Return an orthonormal basis [R or 1, n, m] of the columns of `matrix`."""
    basis, _ = array_module(matrix).linalg.qr(matrix)
    return basis
