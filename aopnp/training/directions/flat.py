"""All parameters as one vector, and sets of directions as matrices [R or 1, n, m], a direction a column."""

from collections.abc import Sequence
from itertools import accumulate

from aopnp.arrays.backend import Array, array_module
from aopnp.training.directions.entries import flattened, shaped
from aopnp.training.directions.strategy import ForwardPass, Tangents, entry_count


def columns(forward_pass: ForwardPass, v: Tangents) -> list[Array]:
    """Return each parameter's directions as the columns of a matrix [R or 1, n of the parameter, J]."""
    flat = [
        flattened(own, parameter) for own, parameter in zip(v, forward_pass.parameters, strict=True)
    ]
    return [forward_pass.xp.moveaxis(own, 0, -1) for own in flat]


def tangents(forward_pass: ForwardPass, matrices: Sequence[Array]) -> Tangents:
    """Return `columns` as directions again."""
    rows = [
        forward_pass.xp.ascontiguousarray(forward_pass.xp.moveaxis(matrix, -1, 0))
        for matrix in matrices
    ]
    return [
        shaped(own, parameter) for own, parameter in zip(rows, forward_pass.parameters, strict=True)
    ]


def join_parameters(matrices: Sequence[Array]) -> Array:
    """Return [R or 1, n, J] of all parameters, one below the other."""
    return array_module(*matrices).concatenate(matrices, -2)


def split_by_parameter(forward_pass: ForwardPass, matrix: Array) -> list[Array]:
    """Return `join_parameters` undone."""
    ends = list(accumulate(map(entry_count, forward_pass.parameters)))
    return [matrix[..., a:b, :] for a, b in zip([0, *ends], ends, strict=False)]


def orthonormal(matrix: Array) -> Array:
    """Return an orthonormal basis [R or 1, n, m] of the columns of `matrix`."""
    basis, _ = array_module(matrix).linalg.qr(matrix)
    return basis
