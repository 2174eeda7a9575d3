"""Several configurations as one estimator for a stack of replicas.

    stack([AOP(topk, k=8), AOP(randk, k=16)])
        one AOP with k = [8, 16], alpha = [1, 0], beta = [0, 1]
    side_by_side([Exact(), AOP(topk, k=8)])
        Stacked([(slice(0, 1), Exact()), (slice(1, 2), AOP(topk, k=8))])

Estimators of one kind become one estimator with an array [R] in the place of each number that
differs. Estimators of several kinds share out the replicas. A stack trains as each of its members
does alone, bit for bit on one BLAS thread.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.outer_products import Expand, SideBySide
from aopnp.estimators.policies import Selection, every_row, side_by_side_selections
from aopnp.estimators.step import Step


@dataclass(frozen=True)
class Stacked(Estimator):
    """Estimators of several kinds, each for its slice of the replicas.

    The slices follow each other from 0 to R.
    """

    parts: Sequence[tuple[slice, Estimator]]

    def __post_init__(self) -> None:
        slices = [where for where, _ in self.parts]
        starts = [where.start for where in slices]
        ends = [0, *(where.stop for where in slices)]
        increasing = sorted(set(ends)) == ends
        if starts != ends[:-1] or not increasing:
            raise ValueError(f"expected slices that follow each other from 0 to R, got {slices}")

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        return any(estimator.remembers for _, estimator in self.parts)

    @property
    def refers_to_places(self) -> Array:
        """Whether the estimator of each replica has an entry for each input [R].

        If only some have one, then with a sampled forward product all estimators see the inputs in
        their places. An estimator without such entries then equals itself alone to rounding only.
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
        R = self.parts[-1][0].stop
        if len(g) != R:
            raise ValueError(f"expected a stack of R = {len(g)} replicas, got slices up to {R}")
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
        n = g.shape[-2]
        answers = []
        for (where, estimator), part_state in zip(self.parts, state, strict=True):
            part_x, part_g = _share(x, where), g[where]
            part_noise, part_step = _of_part(estimator, where, n, noise, step)
            answer = estimator(part_x, part_g, part_state, part_noise, part_step, expand)
            answers.append((where, answer))
        return SideBySide(answers)

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        n = b.shape[1]
        chosen = []
        for where, estimator in self.parts:
            part_a, part_b = _share(a, where), b[where]
            part_noise, part_step = _of_part(estimator, where, n, noise, step)
            chosen.append(estimator.select(part_a, part_b, part_noise, part_step))
        if all(selection is None for selection in chosen):
            return None
        xp = array_module(b)
        selections = []
        for (where, _), selection in zip(self.parts, chosen, strict=True):
            if selection is None:
                selection = every_row(n, where.stop - where.start, xp)
            selections.append(selection)
        return side_by_side_selections(selections)

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        # The overhead of a part is a number or an array: 0 * kept makes both an array [T, R].
        zero = 0 * kept
        A = A + zero
        flops, bytes_moved = [], []
        for where, estimator in self.parts:
            cost = estimator.overhead(terms, kept[:, where], A[:, where])
            flops.append(cost.flops + zero[:, where])
            bytes_moved.append(cost.bytes_moved + zero[:, where])
        xp = array_module(kept)
        return Overhead(
            xp.concatenate(flops, axis=1),
            xp.concatenate(bytes_moved, axis=1),
        )


def stack(members: Sequence[Any]) -> Any:
    """Return one dataclass like each of `members`, with an array [R] for each number that differs.

    Raises ValueError where the members are of several kinds: `side_by_side` takes such members.
    """
    first = members[0]
    kind = _kind(first)
    if any(_kind(member) != kind for member in members):
        raise ValueError(
            f"expected estimators of one kind, got {members}; "
            "put unlike ones next to each other with side_by_side"
        )
    stacked = {}
    for field in fields(first):
        values = [getattr(member, field.name) for member in members]
        stacked[field.name] = _stack_values(values)
    return replace(first, **stacked)


def side_by_side(estimators: Iterable[Estimator]) -> Estimator:
    """Return one estimator for R replicas; `estimators[r]` trains replica r.

    Neighbours of one kind are stacked.
    """
    parts: list[tuple[slice, Estimator]] = []
    end = 0
    for _, neighbours in itertools.groupby(estimators, key=_kind):
        members = list(neighbours)
        start, end = end, end + len(members)
        parts.append((slice(start, end), stack(members)))
    if len(parts) == 1:
        return parts[0][1]
    return Stacked(parts)


def _stack_values(values: list[Any]) -> Any:
    """Return the values that the members have in one field as one value."""
    first = values[0]
    if is_dataclass(first):
        return stack(values)
    if all(value == first for value in values):
        return first
    return np.array(values)


def _kind(member: Any) -> Any:
    """Return the facts that two members must share to be stacked: everything but their numbers."""
    if isinstance(member, int | float):
        return None
    if not is_dataclass(member):
        return member
    kinds = []
    for field in fields(member):
        value = getattr(member, field.name)
        if not field.metadata.get("shared"):
            value = _kind(value)
        kinds.append(value)
    return type(member), *kinds


def _of_part(
    estimator: Estimator, where: slice, n: int, noise: Array | None, step: Step
) -> tuple[Array | None, Step]:
    """Return the noise and the step of one part, for sums of n terms."""
    slots = estimator.slots(n)
    part_noise = None
    if noise is not None and slots:
        # The rows of the batch come last: a part of fewer slots takes the last ones, as it would
        # alone.
        part_noise = _share(noise, where)[..., -slots:]
    if step.lr is not None:
        step = replace(step, lr=_share(step.lr, where))
    return part_noise, step


def _share(array: Array, where: slice) -> Array:
    """Return the replicas `where` of an array [R, ...], or an array [1, ...] that all share."""
    if len(array) == 1:
        return array
    return array[where]
