"""The ledger: what the products of a layer cost, counted while they are made.

    exact    n f flops for a sum of n terms of f flops each (f = 2 A B for outer products of A and of B numbers)
    sampled  |S| f flops + overhead (scores, rescaling, memory); |S|(A + B) numbers gathered

One multiply-add is two flops (Adelman et al. 2021, arXiv 1805.08079). Bytes count what is gathered and what a memory
moves, not what the products read. Biases, activations, losses and optimisers are the same for every estimator and
are left out.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from aopnp.arrays.backend import Array, array_module

SPENT = ("flops", "exact_flops", "overhead_flops", "bytes_moved")
"""What is counted: all flops, those of the exact product, those beside the products, bytes."""


class Terms(NamedTuple):
    """The sum that an estimator sees: n terms, each of vectors of A and of B numbers; A is the layer's input side."""

    n: int
    A: int
    B: int
    flops: int
    """Flops of one term: 2 A B, or of the product that stands behind it."""
    itemsize: int


class Overhead(NamedTuple):
    """What an estimator spends beside the product of what it kept; numbers, or one a step and replica [T, R]."""

    flops: float | Array = 0.0
    bytes_moved: float | Array = 0.0


class Spender(Protocol):
    """Whoever can say what it costs: an estimator."""

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the overhead of steps that kept `kept` [T, R] terms of vectors of A (a number or [T, R])."""
        ...


LONGEST = 4096
"""Steps that are kept before they are added up, so that a loop that never asks does not fill the memory."""


class Tally:
    """The costs of one product since they were last asked for: cheap to add to, multiplied out when asked."""

    def __init__(self) -> None:
        self._steps: dict[Terms, list[tuple[Array | None, Array | None]]] = {}
        self._totals: dict[str, Array] = {}

    def add(
        self,
        spender: Spender,
        like: Array,
        terms: Terms,
        kept: Array | None = None,
        share: Array | None = None,
    ) -> None:
        """Count a step that kept `kept` [R] terms, None for all, of which `share` [R] of the input side is left.

        `like` [R, ...] says how many replicas there are, and where.
        """
        steps = self._steps.setdefault(terms, [])
        steps.append((kept, share))
        if len(steps) == LONGEST:
            self._totals = self.spent(spender, like)

    def spent(self, spender: Spender, like: Array) -> dict[str, Array]:
        """Return the totals by the names of SPENT, float64 [R], and begin anew."""
        costs = [self._total(spender, like, terms, steps) for terms, steps in self._steps.items()]
        totals = add_up(self._totals, *costs)
        self._steps, self._totals = {}, {}
        return totals

    @staticmethod
    def _total(
        spender: Spender, like: Array, terms: Terms, steps: list[tuple[Array | None, Array | None]]
    ) -> dict[str, Array]:
        xp, R = array_module(like), len(like)

        def stacked(values: list[Array | None], otherwise: float) -> Array:
            if all(value is None for value in values):
                return xp.full((len(values), R), otherwise)
            rest = xp.full(R, otherwise)
            return xp.stack([rest if value is None else value.astype(float) for value in values])

        kept = stacked([count for count, _ in steps], float(terms.n))
        share = stacked([share for _, share in steps], 1.0)
        overhead = spender.overhead(terms, kept, terms.A * share)
        every_step = {
            "flops": kept * share * terms.flops + overhead.flops,
            "exact_flops": xp.full(kept.shape, float(terms.n * terms.flops)),
            "overhead_flops": overhead.flops + 0 * kept,
            "bytes_moved": overhead.bytes_moved + 0 * kept,
        }
        return {name: each.sum(0) for name, each in every_step.items()}


def add_up(*costs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the sum, name by name, of what parts have spent."""
    totals: dict[str, Array] = {}
    for cost in costs:
        for name, value in cost.items():
            totals[name] = totals[name] + value if name in totals else value
    return totals
