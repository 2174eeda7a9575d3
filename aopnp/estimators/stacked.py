"""Several configurations as one: like estimators become arrays of knobs [R], unlike ones share out the replicas.

    stack([AOP(topk, k=8), AOP(randk, k=16)])            one AOP with k = [8, 16], alpha = [1, 0], beta = [0, 1]
    side_by_side([Exact(), AOP(topk, k=8)])              Stacked([(slice(0, 1), Exact()), (slice(1, 2), AOP(...))])

A stack trains as each of its members does alone, bit for bit on one BLAS thread.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.outer_products import Expand, Gradient, SideBySide
from aopnp.estimators.policies import Selection, every_row, side_by_side_selections
from aopnp.estimators.step import Step


@dataclass(frozen=True)
class Stacked(Estimator):
    """Unlike estimators side by side, each on its slice of the replicas; the slices follow each other from 0 to R."""

    parts: Sequence[tuple[slice, Estimator]]

    def __post_init__(self) -> None:
        ends = [0, *(where.stop for where, _ in self.parts)]
        if [where.start for where, _ in self.parts] != ends[:-1] or sorted(set(ends)) != ends:
            raise ValueError(
                f"expected slices that follow each other from 0 to R, got {[where for where, _ in self.parts]}"
            )

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        return any(estimator.remembers for _, estimator in self.parts)

    @property
    def refers_to_places(self) -> Array:
        """Which replicas' estimators have an entry for each input [R].

        If only some have, beside a sampled forward product all see the inputs in their places. The
        others then equal themselves alone to rounding only.
        """
        wide = np.zeros(self.parts[-1][0].stop, bool)
        for where, estimator in self.parts:
            wide[where] = estimator.refers_to_places
        return wide

    @property
    def factored(self) -> bool:  # type: ignore[override]
        return all(estimator.factored for _, estimator in self.parts)

    def slots(self, batch_size: int) -> int:
        return max(estimator.slots(batch_size) for _, estimator in self.parts)

    def start(self, x: Array, g: Array) -> list[Any]:
        if self.parts[-1][0].stop != len(g):
            raise ValueError(
                f"expected a stack of R = {len(g)} replicas, got slices up to {self.parts[-1][0].stop}"
            )
        return [estimator.start(_share(x, where), g[where]) for where, estimator in self.parts]

    def __call__(
        self,
        x: Array,
        g: Array,
        state: list[Any],
        noise: Array | None,
        step: Step,
        expand: Expand | None = None,
    ) -> SideBySide:
        def answer(where: slice, estimator: Estimator, own: Any) -> Gradient:
            own_noise, own_step = _own(estimator, where, g.shape[-2], noise, step)
            return estimator(_share(x, where), g[where], own, own_noise, own_step, expand)

        return SideBySide(
            [
                (where, answer(where, e, own))
                for (where, e), own in zip(self.parts, state, strict=True)
            ]
        )

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        def choose(where: slice, estimator: Estimator) -> Selection | None:
            own_noise, own_step = _own(estimator, where, b.shape[1], noise, step)
            return estimator.select(_share(a, where), b[where], own_noise, own_step)

        chosen = [choose(where, estimator) for where, estimator in self.parts]
        if all(selection is None for selection in chosen):
            return None
        n, xp = b.shape[1], array_module(b)
        selections = [
            every_row(n, where.stop - where.start, xp) if selection is None else selection
            for (where, _), selection in zip(self.parts, chosen, strict=True)
        ]
        return side_by_side_selections(selections)

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        xp, A = array_module(kept), A + 0 * kept
        costs = [
            [
                part + 0 * kept[:, where]
                for part in estimator.overhead(terms, kept[:, where], A[:, where])
            ]
            for where, estimator in self.parts
        ]
        return Overhead(*(xp.concatenate(column, axis=1) for column in zip(*costs, strict=True)))


def stack(members: Sequence[Any]) -> Any:
    """Return one dataclass like each of `members`, with those numbers that differ as arrays of knobs [R].

    Raises ValueError where they are of different kinds: those go side by side.
    """
    first = members[0]
    if any(_kind(member) != _kind(first) for member in members):
        raise ValueError(
            f"expected estimators of one kind, got {members}; put unlike ones next to each other with side_by_side"
        )
    return replace(
        first,
        **{f.name: _stack_field([getattr(m, f.name) for m in members]) for f in fields(first)},
    )


def side_by_side(estimators: Iterable[Estimator]) -> Estimator:
    """Return one estimator for R replicas, the r-th trained by `estimators[r]`; like neighbours are stacked."""
    groups = [list(group) for _, group in itertools.groupby(estimators, key=_kind)]
    ends = list(itertools.accumulate(len(group) for group in groups))
    stacks = [stack(group) for group in groups]
    if len(groups) == 1:
        return stacks[0]
    return Stacked(
        [
            (slice(end - len(group), end), one)
            for end, group, one in zip(ends, groups, stacks, strict=True)
        ]
    )


def _stack_field(values: list[Any]) -> Any:
    if is_dataclass(values[0]):
        return stack(values)
    return values[0] if all(value == values[0] for value in values) else np.array(values)


def _kind(member: Any) -> Any:
    """Return what two members must have in common to be stacked: everything but their numbers."""
    if not is_dataclass(member):
        return None if isinstance(member, int | float) else member
    return type(member), *(
        getattr(member, f.name) if f.metadata.get("shared") else _kind(getattr(member, f.name))
        for f in fields(member)
    )


def _own(
    estimator: Estimator, where: slice, n: int, noise: Array | None, step: Step
) -> tuple[Array | None, Step]:
    """Return the noise and the step of one part, for sums of n terms."""
    slots = estimator.slots(n)
    own_noise = None
    if noise is not None and slots:
        # The rows of the batch come last: a part of fewer slots takes the last ones, as it would alone.
        own_noise = _share(noise, where)[..., -slots:]
    if step.lr is not None:
        step = replace(step, lr=_share(step.lr, where))
    return own_noise, step


def _share(array: Array, where: slice) -> Array:
    """Return the replicas `where` of an array [R, ...], or an array [1, ...] that all share."""
    if len(array) == 1:
        return array
    return array[where]
