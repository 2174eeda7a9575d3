"""Independent entries of mean 0 and variance 1: what directions are made of.

    gaussian      N(0, 1): float64 logarithms and cosines, far dearer than the matrix products of a small step
    rademacher    +1 or -1, one random bit each: the smallest E |r|^4, so the smallest variance of d r

Entries lie in memory as those of the parameter that they belong to, so that products and updates run along both.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose
from aopnp.nn.layer import Parameter
from aopnp.training.directions.strategy import ForwardPass, Tangents, entry_count

Entries: TypeAlias = Literal["gaussian", "rademacher"]

SPREAD: dict[str, int] = {"gaussian": 1, "rademacher": -1}
"""E |<g, r> r - g|^2 = (n + spread) |g|^2 for r of n entries."""


def check_entries(entries: str) -> None:
    """Raise ValueError unless `entries` is in the table."""
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
    """Return noise [J, R or 1, size] of `dtype`, for the parameter or perturbation `number`."""
    streams, xp, step = forward_pass.streams, forward_pass.xp, forward_pass.step.index
    if entries == "rademacher":
        return streams.signs(
            Purpose.DIRECTIONS, number, step=step, size=size, xp=xp, copies=directions, dtype=dtype
        )
    drawn = streams.normal(
        Purpose.DIRECTIONS, number, step=step, size=size, xp=xp, copies=directions
    )
    return drawn.astype(dtype)


def for_parameter(
    entries: str, forward_pass: ForwardPass, number: int, directions: Sequence[int]
) -> Array:
    """Return independent entries [J, R or 1, ...] for one parameter."""
    p = forward_pass.parameters[number]
    return shaped(draw(entries, forward_pass, number, directions, entry_count(p), p.dtype), p)


def for_all(entries: str, forward_pass: ForwardPass, directions: Sequence[int]) -> Tangents:
    """Return independent entries for every parameter."""
    return [
        for_parameter(entries, forward_pass, number, directions)
        for number in range(len(forward_pass.parameters))
    ]


def shaped(flat: Array, p: Parameter) -> Array:
    """Return [J, R or 1, size] as [J, R or 1, ...], lying in memory as the parameter does."""
    shape = p.shape[1:]
    if _is_matrix(p):
        return flat.reshape(*flat.shape[:2], *shape[::-1]).swapaxes(-1, -2)
    return flat.reshape(*flat.shape[:2], *shape)


def flattened(v: Array, p: Parameter) -> Array:
    """Return [J, R, ...] as [J, R, size]: `shaped` backwards."""
    return (v.swapaxes(-1, -2) if _is_matrix(p) else v).reshape(*v.shape[:2], -1)


def in_memory_order(a: Array, p: Parameter) -> Array:
    """Return `a` [R, ...] lying in memory as the parameter does: a sum over it is then the same, wherever it was."""
    return (
        array_module(a).ascontiguousarray(a.swapaxes(1, 2)).swapaxes(1, 2) if _is_matrix(p) else a
    )


def _is_matrix(p: Parameter) -> bool:
    """Return whether it is a matrix: those of dense layers lie column by column."""
    return len(p.shape) == 3
