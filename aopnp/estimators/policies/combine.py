"""Selections that no policy made: every row, and the selections of unlike estimators side by side."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.policies.policy import Selection


def every_row(n: int, replicas: int, xp: ModuleType = np) -> Selection:
    """Return the selection of all n rows in order, unscaled: the exact product."""
    rows = xp.ascontiguousarray(xp.broadcast_to(xp.arange(n), (replicas, n)))
    return Selection(rows, xp.ones((replicas, n)), xp.full(replicas, n, np.int64))


def complete(selection: Selection, n: int, full: Array) -> Selection:
    """Return `selection` with all n rows, in order, for the replicas where `full` [R] (on the host) says so."""
    xp = array_module(selection.rows)
    all_rows, chosen = every_row(n, len(full), xp), xp.asarray(full)
    wide = _padded(selection, n)
    return Selection(
        xp.where(chosen[:, None], all_rows.rows, wide.rows),
        xp.where(chosen[:, None], all_rows.weights, wide.weights),
        xp.where(chosen, all_rows.count, wide.count),
    )


def side_by_side_selections(selections: Sequence[Selection]) -> Selection:
    """Return the selections of consecutive slices of the replicas as one, the shorter lists padded at weight 0."""
    xp, width = array_module(selections[0].rows), max(each.rows.shape[1] for each in selections)
    wide = [_padded(each, width) for each in selections]
    return Selection(
        xp.concatenate([each.rows for each in wide]),
        xp.concatenate([each.weights for each in wide]),
        xp.concatenate([each.count for each in wide]),
    )


def _padded(selection: Selection, width: int) -> Selection:
    xp, missing = array_module(selection.rows), width - selection.rows.shape[1]
    if missing <= 0:
        return selection
    rows = xp.concatenate(
        [selection.rows, xp.repeat(selection.rows[:, :1], missing, axis=1)], axis=1
    )
    weights = xp.concatenate([selection.weights, xp.zeros((len(rows), missing))], axis=1)
    return Selection(rows, weights, selection.count)
