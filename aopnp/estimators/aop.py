"""Approximate outer products: score x policy x memory = estimator (Mem-AOP-GD, arXiv 2110.09164).

candidates (A, B) = memory(X, G)        S = policy(score(A, B)), |S| = K
estimate          = sum over S of weight_m a_m b_m^T        memory <- what is not in S
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import gather
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.memories import Candidates, Memory, NoMemory
from aopnp.estimators.outer_products import Gradient, Multiply, OuterProducts, as_they_are
from aopnp.estimators.policies import Policy, Selection, complete, every_row
from aopnp.estimators.scores import Norms, Score
from aopnp.estimators.step import Step
from aopnp.estimators.term_counts import Kept, Size, check_size, kept_of


@dataclass(frozen=True)
class AOP(Estimator):
    """Keep K of n outer products by `policy` and `score`, do with the others what `memory` does.

    k is a number, an array [R] or a rule (`Ratio`). Where K = n the sum is exact, and nothing is scored.
    """

    policy: Policy
    k: Size
    memory: Memory = NoMemory()  # noqa: RUF009 - frozen and without fields
    score: Score = Norms()  # noqa: RUF009 - frozen and without fields

    def __post_init__(self) -> None:
        check_size(self.k)
        if self.remembers and getattr(self.policy, "scaled", False):
            raise ValueError(
                f"expected no memory beside {self.policy}, got {self.memory}: what is rescaled answers for what is "
                "left out already; use NoMemory(), or a policy that does not rescale"
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
        self._kept(g.shape[-2], 1, len(g))
        return self.memory.start(x, g)

    def __call__(
        self,
        x: Array,
        g: Array,
        state: Any,
        noise: Array | None,
        step: Step,
        multiply: Multiply = as_they_are,
    ) -> Gradient:
        xp = array_module(x, g)
        k = self._kept(g.shape[-2], step.epoch, len(g))
        candidates = self.memory.candidates(
            state, xp.ascontiguousarray(x), xp.ascontiguousarray(g), step.lr
        )
        selection = self._choose(candidates, noise, k)
        a, b = gather(
            candidates.a, candidates.b, selection.rows, selection.weights, selection.count
        )
        return self.memory.keep(
            state, candidates, selection, multiply(OuterProducts(a, b, selection.count))
        )

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        k = self._kept(b.shape[1], step.epoch, len(b))
        return None if k.everything else self._choose(Candidates(a, b, None), noise, k)

    def choose(self, log_norms: Array, noise: Array | None, step: Step) -> Selection:
        """Return which of n terms to keep, scored elsewhere: log_norms float64 [R, n]."""
        R, n = log_norms.shape
        return self._pick(log_norms, noise, self._kept(n, step.epoch, R))

    def _kept(self, n: int, epoch: int, replicas: int) -> Kept:
        # Asked in every step, and the answer changes with the epoch at most; by several threads where layers share it.
        known, asked = self._known, (n, epoch, replicas)
        kept = known.get(asked)
        if kept is None:
            known.clear()
            known[asked] = kept = kept_of(self.k, *asked)
        return kept

    @cached_property
    def _known(self) -> dict[tuple[int, int, int], Kept]:
        return {}

    def _choose(self, candidates: Candidates, noise: Array | None, k: Kept) -> Selection:
        n, xp = candidates.b.shape[1], array_module(candidates.b)
        if k.everything and k.k[0] == n:
            return every_row(n, len(k.k), xp)
        log_norms = candidates.log_norms
        if log_norms is None or not isinstance(self.score, Norms):
            scores = self.score(candidates.a, candidates.b, self._checked(noise, n))
            empty = False if log_norms is None else xp.isneginf(log_norms)
            log_norms = xp.where(empty, -xp.inf, scores)
        return self._pick(log_norms, noise, k)

    def _pick(self, log_norms: Array, noise: Array | None, k: Kept) -> Selection:
        n = log_norms.shape[1]
        selection = self.policy(log_norms, self._checked(noise, n), k.k)
        # What keeps all keeps it in order (a queue offers more candidates than there are rows: there, nothing does).
        return complete(selection, n, k.k == n) if k.partly_everything else selection

    def _checked(self, noise: Array | None, n: int) -> Array:
        if noise is None or noise.shape[-1] != n:
            raise ValueError(
                f"expected selection noise of shape [R or 1, {n}], got "
                f"{None if noise is None else list(noise.shape)}; draw it with epoch_noise, as fit does"
            )
        return noise

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        xp, (n, _, B, _, itemsize) = array_module(kept), terms
        scaled = kept * xp.minimum(A, B) if getattr(self.policy, "scaled", False) else 0.0
        memory = self.memory.overhead(terms, kept, A)
        sampled = kept < n  # a sum that keeps all is neither scored nor gathered
        return Overhead(
            sampled * (self.score.flops(n, A, B) + scaled) + memory.flops,
            sampled * (2 * itemsize * kept * (A + B)) + memory.bytes_moved,
        )
