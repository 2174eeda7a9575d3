"""Automatic K: the fewest terms for which sampling adds little to the variance of the mini-batch.

    V(k) = sum of (1 - p_i) / p_i w_i^2,  p = min(1, w / c),  sum of p = k
    S    = M / (M - 1) (sum of w_i^2 - |X^T G|^2 / M),  w_i = |x_i| |g_i|
    k    = the smallest integer with V(k) <= share S

V is the variance that water-filled sampling adds. S is the variance of a sum of M independent
terms, which the mini-batch has in any case. Sampling may add at most the given share of it.

The idea is that of VCAS (Wang et al., ICLR 2024, arXiv 2402.17227; here only its half that samples
weight gradients). VCAS estimates both variances by Monte Carlo in additional passes, and moves its
ratios step by step. Here both variances are known in closed form: an exact product now and then is
enough.

V falls with k. Let w be ascending, and let C_u and Q_u be the sums of its u smallest entries and of
their squares. At c = w_u, V is B_u = w_u C_u - Q_u. From there down to the next B, u terms are not
sure to be kept, and V = C_u^2 / (k - n + u) - Q_u. So V(k) <= T, for T = share S > 0, is solved at
once:

    u = the number of the B that are at most T        k = ceil(n - u + C_u^2 / (T + Q_u))

In a convolution the M terms are patches, which within an image are not independent. With
unit="example" the terms are images, and |x_i| |g_i| is a proxy for the norm of an image's gradient,
while X^T G is exact. There a larger share still keeps fewer terms, but neither variance is exact.
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
    """The last choice of k, and the shares kept since the last report; all of it is on the host."""

    k: Array = field(metadata={"host": True})
    """Expected number of terms to keep, int64 [R]."""
    kept: Array = field(metadata={"host": True})
    """Sum of the shares kept since the last report [R]."""
    terms: int = 0
    """Number of terms n for which k was chosen; 0 before the first step."""
    steps: int = 0
    """Steps since the last report."""


@dataclass(frozen=True)
class Automatic(Estimator):
    """AOP(bernoulli, k), with a k for which sampling adds at most `share` of the batch's variance.

    `share` is a number or [R]. k is chosen again every `every` steps: the first step, and each step
    with an index that is a multiple of `every`, makes the exact product and answers with it. Then k
    is read from the device; in no other step does the host wait. All terms are kept where S is zero
    or not finite, and for share = 0. The mean share of kept terms is observed as `kept_share`.
    """

    share: float | Array = 0.025
    every: int = field(default=100, metadata={"shared": True})

    # Its k comes from an earlier step.
    remembers = True
    refers_to_places = False
    # It answers with a matrix only where it has expanded and multiplied out all pairs: that matrix
    # has the shape of the gradient.
    factored = True

    def __post_init__(self) -> None:
        share = np.asarray(self.share)
        if not np.all((share >= 0) & (share < np.inf)):
            raise ValueError(
                f"expected a finite share of at least 0 of the variance, got {self.share}; "
                "0 is exact"
            )
        if self.every < 1:
            raise ValueError(
                f"expected to choose K every 1 or more steps, got every = {self.every}"
            )

    def slots(self, batch_size: int) -> int:
        return batch_size

    def start(self, x: Array, g: Array) -> AutomaticState:
        R = len(g)
        return AutomaticState(k=np.zeros(R, np.int64), kept=np.zeros(R))

    def __call__(
        self,
        x: Array,
        g: Array,
        state: AutomaticState,
        noise: Array | None,
        step: Step,
        expand: Expand | None = None,
    ) -> Gradient:
        n = g.shape[-2]
        state.steps += 1
        if step.index % self.every and n == state.terms:
            state.kept = state.kept + state.k / n
            return AOP(bernoulli, state.k)(x, g, (), noise, step, expand)
        exact = dense(Exact()(x, g, (), None, step, expand))
        state.k = self._choose(x, g, exact)
        state.terms = n
        state.kept = state.kept + 1
        return exact

    def _choose(self, x: Array, g: Array, exact: Array) -> Array:
        """Return k int64 [R], on the host.

        `exact` is the product of x [R or 1, n, N] and g [R, n, P].
        """
        xp = array_module(x, g)
        x, g = xp.ascontiguousarray(x), xp.ascontiguousarray(g)
        share = xp.asarray(replica_values(self.share, len(g)))
        # Where squares overflow, all terms are kept.
        with np.errstate(over="ignore", invalid="ignore"):
            w = xp.exp(log_norms(x, g))
            T = share * batch_variance(w, exact)
            return to_host(fewest(w, T))

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the cost of sampling, and of choosing k in one of `every` steps.

        A choice costs the norms of all pairs and of the product (at most the flops of a term). The
        exact product is in no overhead: a step that makes it keeps all n terms.
        """
        norms = Norms().flops(terms.n, A, terms.B)
        choice = norms + terms.flops * A / terms.A
        flops, bytes_moved = AOP(bernoulli, 1).overhead(terms, kept, A)
        return Overhead(flops + choice / self.every, bytes_moved)

    def observations(self, state: AutomaticState) -> dict[str, Array]:
        mean = state.kept / max(state.steps, 1)
        state.kept = 0 * state.kept
        state.steps = 0
        return {"kept_share": mean}


def batch_variance(w: Array, exact: Array) -> Array:
    """Return S [R], the estimate from one batch of E|X^T G - mean|^2.

    w [R, M] are the norms of the terms, and `exact` [R, N, P] is their sum.
    """
    M, xp = w.shape[1], array_module(w)
    squares = xp.square(exact, dtype=np.float64)
    squared = squares.reshape(len(exact), -1).sum(-1)
    spread = (w**2).sum(-1) - squared / M
    return M / max(M - 1, 1) * spread


def fewest(w: Array, T: Array) -> Array:
    """Return the smallest k int64 [R] with V(k) <= T [R] for norms w [R, n].

    k is n where T is not positive and finite.
    """
    xp, n = array_module(w, T), w.shape[1]
    w = xp.sort(w, -1)
    C = xp.cumsum(w, -1)
    Q = xp.cumsum(w**2, -1)
    # B_2, B_3, ... as sums of terms >= 0, without cancellation; B_1 = 0.
    B = xp.cumsum(C[:, :-1] * xp.diff(w, axis=-1), -1)
    u = 1 + (T[:, None] >= B).sum(-1, keepdims=True)
    C_u = xp.take_along_axis(C, u - 1, 1)[:, 0]
    Q_u = xp.take_along_axis(Q, u - 1, 1)[:, 0]
    usable = (T > 0) & xp.isfinite(T)
    k = n - u[:, 0] + C_u**2 / xp.where(usable, T + Q_u, 1)
    k = xp.clip(xp.ceil(k), 1, n)
    return xp.where(usable, k, n).astype(np.int64)
