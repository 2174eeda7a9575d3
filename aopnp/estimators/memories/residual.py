"""Error feedback: the part of a gradient that was not applied arrives one step late, whole.

    update_t = rho_t^2 E_{t-1} + sum over S of x_m g_m^T
    E_t      = sum over not-S of x_m g_m^T

(Karimireddy et al. 2019, arXiv 1901.09847.) There are no cross terms: the updates plus E always
equal the sum of the exact gradients. E costs a full product, so nothing is saved. This memory is
the yardstick that shows the price of the row memory's shortcut.
"""

from dataclasses import dataclass, field

import numpy as np

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.memories.memory import Candidates, Memory, carry_over, check_decay
from aopnp.estimators.outer_products import OuterProducts
from aopnp.estimators.policies import Selection


@dataclass
class ResidualState:
    """The contents of a residual memory."""

    residual: Array
    """E: the sum of the outer products that were not selected at the last step [R, N, P]."""
    lr_last: Array = field(metadata={"host": True})
    """Step size of the last call [R], on the host."""


@dataclass(frozen=True)
class ResidualMemory(Memory):
    """Exact error feedback; `decay` (a number or [R]) shrinks the residual at each step.

    Only the fresh rows are ranked.
    """

    decay: float | Array = 1.0
    factored = False

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def start(self, x: Array, g: Array) -> ResidualState:
        xp = array_module(x, g)
        R, _, P = g.shape
        N = x.shape[-1]
        return ResidualState(xp.zeros((R, N, P), g.dtype), np.ones(R))

    def candidates(self, state: ResidualState, x: Array, g: Array, lr: Array | None) -> Candidates:
        rho = carry_over(self.decay, state.lr_last, lr)
        state.residual *= replica_factors(rho**2, state.residual)
        return Candidates(x, g, None)

    def keep(
        self,
        state: ResidualState,
        candidates: Candidates,
        selection: Selection,
        kept: OuterProducts,
    ) -> Array:
        a, b = candidates.a, candidates.b
        xp = array_module(b)
        estimate = state.residual + kept.dense()
        selected = selection.mask(b.shape[-2])
        left = xp.where(selected[..., None], a.dtype.type(0), a)
        state.residual = left.swapaxes(-1, -2) @ b
        return estimate

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the cost of the product of all rows left, and of a residual of A B numbers.

        The residual is scaled, read, added and written.
        """
        n, _, B, _, itemsize = terms
        product = 2 * (n - kept) * A * B
        flops = product + 2 * A * B
        return Overhead(flops, 4 * itemsize * A * B)
