"""The ledger: the cost of a layer's products, noted in every step and added up on request.

    exact    n f flops for a sum of n terms of f flops each
    sampled  |S| f flops + overhead (scores, rescaling, memory); |S| (A + B) numbers gathered

f is 2 A B for outer products of A and B numbers: one multiply-add is two flops (Adelman et al.
2021, arXiv 1805.08079). Bytes count the gathered numbers and the traffic of a memory, not the reads
of the products. Biases, activations, losses and optimisers cost the same for every estimator and
are left out.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from aopnp.arrays.backend import Array, array_module

SPENT = ("flops", "exact_flops", "overhead_flops", "bytes_moved")
"""The entries of a bill.

All flops, the flops of the exact product, the flops outside the products, and the bytes moved.
"""

LONGEST = 4096
"""Number of entries after which a tally adds up.

A loop that never asks for the costs does not fill the memory.
"""


class Terms(NamedTuple):
    """A sum as the ledger sees it: n terms, each a pair of vectors of A and B numbers.

    The vector of A numbers is the one on the input side.
    """

    n: int
    A: int
    B: int
    flops: int
    """Flops of one term: 2 A B, unless a term is expanded to several outer products."""
    itemsize: int


class Entry(NamedTuple):
    """One step of one product."""

    terms: Terms
    kept: Array | None = None
    """How many terms each replica multiplied [R]; None: all n."""
    share: Array | None = None
    """Share of the A numbers that a sampled forward product kept [R]; None: all."""


class Overhead(NamedTuple):
    """Costs outside the product of the kept terms; numbers, or arrays [T, R] over T steps."""

    flops: float | Array = 0.0
    bytes_moved: float | Array = 0.0


class Spender(Protocol):
    """Anything that can name its overhead: an estimator."""

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the overhead of steps that kept `kept` [T, R] terms of vectors of A numbers.

        A is a number or [T, R].
        """
        ...


class Tally:
    """The steps of one product since their cost was last asked for."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._totals: dict[str, Array] = {}

    def add_up(self, spender: Spender, like: Array) -> None:
        """Replace all entries by their total; `like` [R, ...] gives the replicas and the device."""
        by_terms: dict[Terms, list[Entry]] = {}
        for entry in self.entries:
            by_terms.setdefault(entry.terms, []).append(entry)
        self.entries = []
        for terms, steps in by_terms.items():
            cost = _cost(spender, like, terms, steps)
            self._totals = add_up(self._totals, cost)

    def spent(self, spender: Spender, like: Array) -> dict[str, Array]:
        """Return the totals by the names of SPENT, float64 [R], and begin anew."""
        self.add_up(spender, like)
        totals = self._totals
        self._totals = {}
        return totals


def _cost(spender: Spender, like: Array, terms: Terms, steps: list[Entry]) -> dict[str, Array]:
    """Return the bill of T steps with equal terms, each entry summed over the steps [R]."""
    kept = _by_step([step.kept for step in steps], float(terms.n), like)
    share = _by_step([step.share for step in steps], 1.0, like)
    overhead = spender.overhead(terms, kept, terms.A * share)
    exact_flops = float(terms.n * terms.flops)
    of_steps = {
        "flops": kept * share * terms.flops + overhead.flops,
        "exact_flops": array_module(like).full(kept.shape, exact_flops),
        "overhead_flops": overhead.flops + 0 * kept,
        "bytes_moved": overhead.bytes_moved + 0 * kept,
    }
    return {name: values.sum(0) for name, values in of_steps.items()}


def _by_step(values: list[Array | None], default: float, like: Array) -> Array:
    """Return the values of T steps as one array [T, R], with `default` in the place of None."""
    xp, R = array_module(like), len(like)
    if all(value is None for value in values):
        return xp.full((len(values), R), default)
    rows = []
    for value in values:
        if value is None:
            rows.append(xp.full(R, default))
        else:
            rows.append(value.astype(float))
    return xp.stack(rows)


def add_up(*costs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the sum of several bills, name by name."""
    totals: dict[str, Array] = {}
    for cost in costs:
        for name, value in cost.items():
            if name in totals:
                totals[name] = totals[name] + value
            else:
                totals[name] = value
    return totals
