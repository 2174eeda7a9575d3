"""All parameters as one vector, and sets of directions as matrices [R or 1, n, m], a direction a column."""

from collections.abc import Sequence
from itertools import accumulate

from aopnp.arrays.backend import Array, array_module
from aopnp.training.directions.entries import flattened, shaped
from aopnp.training.directions.strategy import Tangents, Trace, entries


def columns(trace: Trace, v: Tangents) -> list[Array]:
    """Return each parameter's directions as the columns of a matrix [R or 1, n of the parameter, J]."""
    flat = [flattened(own, parameter) for own, parameter in zip(v, trace.parameters, strict=True)]
    return [trace.xp.moveaxis(own, 0, -1) for own in flat]


def tangents(trace: Trace, matrices: Sequence[Array]) -> Tangents:
    """Return `columns` as directions again."""
    rows = [trace.xp.ascontiguousarray(trace.xp.moveaxis(matrix, -1, 0)) for matrix in matrices]
    return [shaped(own, parameter) for own, parameter in zip(rows, trace.parameters, strict=True)]


def joined(matrices: Sequence[Array]) -> Array:
    """Return [R or 1, n, J] of all parameters, one below the other."""
    return array_module(*matrices).concatenate(matrices, -2)


def parted(trace: Trace, matrix: Array) -> list[Array]:
    """Return `joined` undone."""
    ends = list(accumulate(map(entries, trace.parameters)))
    return [matrix[..., a:b, :] for a, b in zip([0, *ends], ends, strict=False)]


def orthonormal(matrix: Array) -> Array:
    """Return an orthonormal basis [R or 1, n, m] of the columns of `matrix`."""
    basis, _ = array_module(matrix).linalg.qr(matrix)
    return basis
