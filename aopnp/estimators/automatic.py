"""Automatic K: keep as few terms as add no more than a given share to the variance that a mini-batch has anyway.

    V(k) = sum of (1 - p_i) / p_i w_i^2,  p = min(1, w / c),  sum of p = k        (of water-filled sampling)
    S    = M / (M - 1) (sum of w_i^2 - |X^T G|^2 / M),  w_i = |x_i| |g_i|         (of a sum of M independent terms)
    k    = the smallest integer with V(k) <= share S

The idea is VCAS's (Wang et al., ICLR 2024, arXiv 2402.17227; the half of it that samples weight gradients), which
estimates both variances by Monte Carlo in additional passes, and moves its ratios step by step. Here both are known in
closed form: an exact product now and then is enough.

V falls with k. With w ascending, and C_u and Q_u the sums of its u smallest and of their squares, V at c = w_u is
B_u = w_u C_u - Q_u; from there down to the next B, u terms are not sure to be kept and V = C_u^2 / (k - n + u) - Q_u.
So V(k) <= T, for T = share S > 0, is solved at once:

    u = how many of the B are at most T           k = ceil(n - u + C_u^2 / (T + Q_u))

In a convolution the M terms are patches, which within an image are not independent; with unit="example" they are
images, and |x_i| |g_i| is a proxy for the norm of an image's gradient, while X^T G is as exact as ever. There a larger
share still keeps fewer, but neither variance is exact.
"""

from dataclasses import dataclass, field

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_host
from aopnp.arrays.kernels import log_norms
from aopnp.arrays.per_replica import replica_values
from aopnp.estimators.aop import AOP
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.outer_products import Expand, Gradient, dense
from aopnp.estimators.policies import bernoulli
from aopnp.estimators.scores import Norms
from aopnp.estimators.step import Step


@dataclass
class AutomaticState:
    """What was chosen last; all of it lies on the host."""

    k: Array = field(metadata={"host": True})
    """Expected number of terms to keep, int64 [R]."""
    kept: Array = field(metadata={"host": True})
    """Sum of the shares kept since the last report [R]."""
    terms: int = 0
    """Of how many terms k was chosen; 0 before the first step."""
    steps: int = 0
    """Steps since the last report."""


@dataclass(frozen=True)
class Automatic(Estimator):
    """AOP(bernoulli, k), k chosen anew every `every` steps so that sampling adds `share` (a number or [R]) of variance.

    A step whose index is a multiple of `every`, and the first one, makes the exact product and answers with it. Then k
    is read from the device; in no other step does the host wait. Where S is zero or not finite, and for share = 0, all
    terms are kept. The mean share that was kept is observed as `kept_share`.
    """

    share: float | Array = 0.025
    every: int = field(default=100, metadata={"shared": True})

    remembers = True  # its k is of an earlier step
    refers_to_places = False
    # Answers with a matrix when it has multiplied all pairs out: one of the gradient's shape, whatever they stand for.
    factored = True

    def __post_init__(self) -> None:
        if not np.all((np.asarray(self.share) >= 0) & (np.asarray(self.share) < np.inf)):
            raise ValueError(
                f"expected a finite share of at least 0 of the variance, got {self.share}; 0 is exact"
            )
        if self.every < 1:
            raise ValueError(
                f"expected to choose K every 1 or more steps, got every = {self.every}"
            )

    def slots(self, batch_size: int) -> int:
        return batch_size

    def start(self, x: Array, g: Array) -> AutomaticState:
        return AutomaticState(np.zeros(len(g), np.int64), np.zeros(len(g)))

    def __call__(
        self,
        x: Array,
        g: Array,
        state: AutomaticState,
        noise: Array | None,
        step: Step,
        expand: Expand | None = None,
    ) -> Gradient:
        n, state.steps = g.shape[-2], state.steps + 1
        if step.index % self.every and n == state.terms:
            state.kept = state.kept + state.k / n
            return AOP(bernoulli, state.k)(x, g, (), noise, step, expand)
        exact = dense(Exact()(x, g, (), None, step, expand))
        state.k, state.terms, state.kept = self._choose(x, g, exact), n, state.kept + 1
        return exact

    def _choose(self, x: Array, g: Array, exact: Array) -> Array:
        """Return k int64 [R], on the host, for x [R or 1, n, N], g [R, n, P] and their product `exact`."""
        xp = array_module(x, g)
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # what is too large for a square is multiplied exactly
            w = xp.exp(log_norms(xp.ascontiguousarray(x), xp.ascontiguousarray(g)))
            return to_host(
                fewest(w, xp.asarray(replica_values(self.share, len(g))) * batch_variance(w, exact))
            )

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """What sampling costs, and 1 / every of the norms of all pairs and of the product (at most a term's flops).

        The exact product is in no overhead: a step that makes it keeps all n terms.
        """
        norms = Norms().flops(terms.n, A, terms.B) + terms.flops * A / terms.A
        flops, bytes_moved = AOP(bernoulli, 1).overhead(terms, kept, A)
        return Overhead(flops + norms / self.every, bytes_moved)

    def observations(self, state: AutomaticState) -> dict[str, Array]:
        mean = state.kept / max(state.steps, 1)
        state.kept, state.steps = 0 * state.kept, 0
        return {"kept_share": mean}


def batch_variance(w: Array, exact: Array) -> Array:
    """Return S [R], what E|X^T G - mean|^2 seems to be from one batch: norms w [R, M], their sum `exact` [R, N, P]."""
    M, xp = w.shape[1], array_module(w)
    squared = xp.square(exact, dtype=np.float64).reshape(len(exact), -1).sum(-1)
    return M / max(M - 1, 1) * ((w**2).sum(-1) - squared / M)


def fewest(w: Array, T: Array) -> Array:
    """Return the smallest k int64 [R] with V(k) <= T [R] for norms w [R, n]; n where T is not positive and finite."""
    xp, n = array_module(w, T), w.shape[1]
    w = xp.sort(w, -1)
    C, Q = xp.cumsum(w, -1), xp.cumsum(w**2, -1)
    B = xp.cumsum(
        C[:, :-1] * xp.diff(w, axis=-1), -1
    )  # B_2, B_3, ... without cancellation; B_1 = 0
    u = 1 + (T[:, None] >= B).sum(-1, keepdims=True)
    C_u, Q_u = (xp.take_along_axis(sums, u - 1, 1)[:, 0] for sums in (C, Q))
    usable = (T > 0) & xp.isfinite(T)
    k = n - u[:, 0] + C_u**2 / xp.where(usable, T + Q_u, 1)
    return xp.where(usable, xp.clip(xp.ceil(k), 1, n), n).astype(np.int64)
