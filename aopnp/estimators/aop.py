"""Approximate outer products: score x policy x memory = estimator.

    candidates (A, B) = memory(X, G)
    S                 = policy(score(A, B)), |S| = K
    estimate          = sum over S of weight_m a_m b_m^T

The memory keeps the rows outside S. (Mem-AOP-GD, arXiv 2110.09164.)
"""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import gather
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.memories import Candidates, Memory, NoMemory
from aopnp.estimators.outer_products import Expand, Gradient, OuterProducts
from aopnp.estimators.policies import Policy, Selection, complete, every_row
from aopnp.estimators.scores import Norms, Score
from aopnp.estimators.step import Step
from aopnp.estimators.term_counts import TermCount, TermCounts, check_count, counts_of


@dataclass(frozen=True)
class AOP(Estimator):
    """Keep K of n outer products by `policy` and `score`; `memory` decides about the rest.

    k is a number, an array [R] or a rule (`Ratio`). Where K = n the sum is exact, and nothing is
    scored.
    """

    policy: Policy
    k: TermCount
    memory: Memory = NoMemory()  # noqa: RUF009 - frozen and without fields
    score: Score = Norms()  # noqa: RUF009 - frozen and without fields

    def __post_init__(self) -> None:
        check_count(self.k)
        if self.remembers and getattr(self.policy, "scaled", False):
            raise ValueError(
                f"expected no memory beside {self.policy}, got {self.memory}: the rescaled rows "
                "answer for the rows that are left out already; use NoMemory(), or a policy that "
                "does not rescale"
            )

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        return not isinstance(self.memory, NoMemory)

    @property
    def factored(self) -> bool:  # type: ignore[override]
        return self.memory.factored

    def slots(self, batch_size: int) -> int:
        return self.memory.slots(batch_size)

    def start(self, x: Array, g: Array) -> Any:
        self._counts(g.shape[-2], 1, len(g))
        return self.memory.start(x, g)

    def __call__(
        self,
        x: Array,
        g: Array,
        state: Any,
        noise: Array | None,
        step: Step,
        expand: Expand | None = None,
    ) -> Gradient:
        xp = array_module(x, g)
        k = self._counts(g.shape[-2], step.epoch, len(g))
        x, g = xp.ascontiguousarray(x), xp.ascontiguousarray(g)
        candidates = self.memory.candidates(state, x, g, step.lr)
        chosen = self._choose(candidates, noise, k, xp)
        a, b = gather(candidates.a, candidates.b, chosen.rows, chosen.weights, chosen.count)
        kept = OuterProducts(a, b, chosen.count)
        if expand is not None:
            kept = expand(kept)
        return self.memory.keep(state, candidates, chosen, kept)

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        k = self._counts(b.shape[1], step.epoch, len(b))
        if k.everything:
            return None
        return self._choose(Candidates(a, b, None), noise, k, array_module(b))

    def _choose(
        self, candidates: Candidates, noise: Array | None, k: TermCounts, xp: ModuleType
    ) -> Selection:
        """Return which of the candidates to keep: k of them, in order of their scores."""
        n = candidates.b.shape[1]
        if k.everything and k.k[0] == n:
            return every_row(n, len(k.k), xp)
        if noise is None or noise.shape[-1] != n:
            raise _wrong_noise(noise, n)
        log_norms = candidates.log_norms
        if log_norms is None:
            log_norms = self.score(candidates.a, candidates.b, noise)
        elif not isinstance(self.score, Norms):
            scores = self.score(candidates.a, candidates.b, noise)
            log_norms = xp.where(xp.isneginf(log_norms), -xp.inf, scores)
        selection = self.policy(log_norms, noise, k.k)
        if k.partly_everything:
            # Where K = n, use all rows in their order, so that the product equals the exact one bit
            # for bit. A queue offers more candidates than rows: there K < n, and nothing changes.
            return complete(selection, n, k.k == n)
        return selection

    def _counts(self, n: int, epoch: int, replicas: int) -> TermCounts:
        # Every step asks, while the answer changes with the epoch at most. Where layers share an
        # estimator, several threads ask: each returns the counts that it found or made itself.
        known = self._known
        asked = (n, epoch, replicas)
        counts = known.get(asked)
        if counts is None:
            known.clear()
            counts = known[asked] = counts_of(self.k, n, epoch, replicas)
        return counts

    @cached_property
    def _known(self) -> dict[tuple[int, int, int], TermCounts]:
        return {}

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        n, _, B, _, itemsize = terms
        scaling: float | Array = 0.0
        if getattr(self.policy, "scaled", False):
            scaling = kept * array_module(kept).minimum(A, B)
        scoring = self.score.flops(n, A, B)
        gathered = 2 * itemsize * kept * (A + B)
        memory = self.memory.overhead(terms, kept, A)
        # A sum that keeps all terms is neither scored nor gathered.
        sampled = kept < n
        flops = sampled * (scoring + scaling)
        bytes_moved = sampled * gathered
        return Overhead(flops + memory.flops, bytes_moved + memory.bytes_moved)


def _wrong_noise(noise: Array | None, n: int) -> ValueError:
    """Return the error of selection noise that has not one variate for each of n candidates."""
    got = None
    if noise is not None:
        got = list(noise.shape)
    return ValueError(
        f"expected selection noise of shape [R or 1, {n}], got {got}; "
        "draw it with epoch_noise, as fit does"
    )
