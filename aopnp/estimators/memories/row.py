"""The paper's memory: each batch slot accumulates its rows until it is selected (arXiv 2110.09164, Mem-AOP-GD).

    A = rho A_mem + X,  B = rho B_mem + G;    A_mem, B_mem = A, B with the selected rows set to zero

Memory is per batch slot: row m meets whatever sample sits in row m of the next batch, so the batch size is
constant. One step loses nothing; over several steps the accumulated factors multiply each other, and cross terms
x_t g_{t+1}^T appear that the exact gradients do not have: compare `ResidualMemory` and `QueueMemory`.
"""

from dataclasses import dataclass, field

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import accumulate
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.memories.memory import Candidates, Memory, carry_over, check_decay
from aopnp.estimators.outer_products import OuterProducts
from aopnp.estimators.policies import Selection


@dataclass
class RowState:
    """What the row memory holds."""

    a: Array
    """Accumulated inputs [R, M, N]."""
    b: Array
    """Accumulated output gradients [R, M, P]."""
    fresh: Array
    """bool [R, M]: rows that were selected at the last step count as zero, whatever a and b still hold."""
    lr_last: Array = field(metadata={"host": True})
    """Step size of the last call [R], on the host."""

    def rows(self) -> tuple[Array, Array]:
        """Return what is remembered: (A_mem [R, M, N], B_mem [R, M, P]), zero in selected rows."""
        xp = array_module(self.a)
        fresh = self.fresh[..., None]
        return xp.where(fresh, self.a.dtype.type(0), self.a), xp.where(
            fresh, self.b.dtype.type(0), self.b
        )


@dataclass(frozen=True)
class RowMemory(Memory):
    """Mem-AOP-GD's memory; `decay` (a number or [R]) shrinks the remembered product at each step, 1 keeps it all."""

    decay: float | Array = 1.0

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def start(self, x: Array, g: Array) -> RowState:
        xp, (R, M, P) = array_module(x, g), g.shape
        a, b = xp.zeros((R, M, x.shape[-1]), x.dtype), xp.zeros((R, M, P), g.dtype)
        return RowState(a, b, xp.ones((R, M), bool), np.ones(R))

    def candidates(self, state: RowState, x: Array, g: Array, lr: Array) -> Candidates:
        if g.shape != state.b.shape:
            raise ValueError(
                f"expected [R, M, P] = {list(state.b.shape)} as at the first step (the memory is per batch slot), "
                f"got {list(g.shape)}; keep the batch size constant (drop the last partial batch) or initialise again"
            )
        rho = array_module(x).asarray(carry_over(self.decay, state.lr_last, lr), x.dtype)
        log_norms = accumulate(state.a, state.b, x, g, rho, state.fresh)
        return Candidates(state.a, state.b, log_norms)

    def keep(
        self, state: RowState, candidates: Candidates, selection: Selection, kept: OuterProducts
    ) -> OuterProducts:
        state.fresh = selection.mask(state.fresh.shape[-1])
        return kept

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """One multiply-add for each number of a batch; its rows and the memory are read, the memory written."""
        n, _, B, _, itemsize = terms
        return Overhead(2 * n * (A + B), 3 * itemsize * n * (A + B))
