"""Independent entries of mean 0 and variance 1, from which directions r are made.

    gaussian      N(0, 1)
    rademacher    +1 or -1, from one random bit each

Normal entries take logarithms and cosines in float64, which cost far more than the matrix products
of a small step. Random signs have the smallest E |r|^4, and so the smallest variance of d r.

The entries of a direction lie in memory like those of its parameter, so that products and updates
run along both.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose
from aopnp.nn.layer import Parameter
from aopnp.training.directions.strategy import ForwardPass, Tangents, entry_count

Entries: TypeAlias = Literal["gaussian", "rademacher"]
"""The distribution of the entries of a direction."""

SPREAD: dict[str, int] = {"gaussian": 1, "rademacher": -1}
"""The spread in E |<g, r> r - g|^2 = (n + spread) |g|^2, for r of n entries."""


def check_entries(entries: str) -> None:
    """Raise ValueError unless `entries` is in the table SPREAD."""
    if entries not in SPREAD:
        raise ValueError(f"expected entries among {', '.join(SPREAD)}, got {entries!r}")


def draw(
    entries: str,
    forward_pass: ForwardPass,
    number: int,
    directions: Sequence[int],
    size: int,
    dtype: Any,
) -> Array:
    """Return random entries [J, R or 1, size] of `dtype` for the J directions with these numbers.

    `number` is the number of their parameter, or of their perturbation of pre-activations.
    """
    streams, xp = forward_pass.streams, forward_pass.xp
    key = Purpose.DIRECTIONS, number
    index = forward_pass.step.index
    if entries == "rademacher":
        return streams.signs(*key, step=index, size=size, xp=xp, copies=directions, dtype=dtype)
    drawn = streams.normal(*key, step=index, size=size, xp=xp, copies=directions)
    return drawn.astype(dtype)


def for_parameter(
    entries: str, forward_pass: ForwardPass, number: int, directions: Sequence[int]
) -> Array:
    """Return independent entries [J, R or 1, ...] for parameter `number`."""
    parameter = forward_pass.parameters[number]
    size, dtype = entry_count(parameter), parameter.dtype
    flat = draw(entries, forward_pass, number, directions, size, dtype)
    return shaped(flat, parameter)


def for_all(entries: str, forward_pass: ForwardPass, directions: Sequence[int]) -> Tangents:
    """Return independent entries [J, R or 1, ...] for every parameter."""
    return [
        for_parameter(entries, forward_pass, number, directions)
        for number in range(len(forward_pass.parameters))
    ]


def shaped(flat: Array, p: Parameter) -> Array:
    """Return flat [J, R or 1, size] as [J, R or 1, ...], lying in memory like the parameter."""
    leading, shape = flat.shape[:2], p.shape[1:]
    if _is_matrix(p):
        return flat.reshape(*leading, *shape[::-1]).swapaxes(-1, -2)
    return flat.reshape(*leading, *shape)


def flattened(v: Array, p: Parameter) -> Array:
    """Return v [J, R, ...] as [J, R, size]: the inverse of `shaped`."""
    if _is_matrix(p):
        v = v.swapaxes(-1, -2)
    return v.reshape(*v.shape[:2], -1)


def in_memory_order(a: Array, p: Parameter) -> Array:
    """Return a [R, ...] lying in memory like the parameter.

    A sum over its entries then does not depend on how the array lay before, in a file for example.
    """
    if not _is_matrix(p):
        return a
    transposed = array_module(a).ascontiguousarray(a.swapaxes(1, 2))
    return transposed.swapaxes(1, 2)


def _is_matrix(p: Parameter) -> bool:
    """Return whether it is a matrix [R, N, P], which dense layers store column by column."""
    return len(p.shape) == 3
