"""Selections that no policy made: all rows, or the joined selections of several estimators."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.policies.policy import Selection


def every_row(n: int, replicas: int, xp: ModuleType = np) -> Selection:
    """Return the selection of all n rows in order, unscaled: the exact product."""
    rows = xp.broadcast_to(xp.arange(n), (replicas, n))
    weights = xp.ones((replicas, n))
    count = xp.full(replicas, n, np.int64)
    return Selection(xp.ascontiguousarray(rows), weights, count)


def complete(selection: Selection, n: int, full: Array) -> Selection:
    """Return `selection` with all n rows, in order, for the replicas where `full` is true.

    `full` is bool [R], on the host.
    """
    xp = array_module(selection.rows)
    everything = every_row(n, len(full), xp)
    chosen = _padded(selection, n)
    full = xp.asarray(full)
    full_rows = full[:, None]
    return Selection(
        xp.where(full_rows, everything.rows, chosen.rows),
        xp.where(full_rows, everything.weights, chosen.weights),
        xp.where(full, everything.count, chosen.count),
    )


def side_by_side_selections(selections: Sequence[Selection]) -> Selection:
    """Return the selections of consecutive slices of the replicas as one.

    The shorter lists of rows are padded at weight 0.
    """
    xp = array_module(selections[0].rows)
    width = max(selection.rows.shape[1] for selection in selections)
    padded = [_padded(selection, width) for selection in selections]
    return Selection(
        xp.concatenate([selection.rows for selection in padded]),
        xp.concatenate([selection.weights for selection in padded]),
        xp.concatenate([selection.count for selection in padded]),
    )


def _padded(selection: Selection, width: int) -> Selection:
    """Return `selection` with lists of at least `width` rows, padded with the first at weight 0."""
    xp = array_module(selection.rows)
    R, listed = selection.rows.shape
    missing = width - listed
    if missing <= 0:
        return selection
    padding = xp.repeat(selection.rows[:, :1], missing, axis=1)
    rows = xp.concatenate([selection.rows, padding], axis=1)
    no_weight = xp.zeros((R, missing))
    weights = xp.concatenate([selection.weights, no_weight], axis=1)
    return Selection(rows, weights, selection.count)
