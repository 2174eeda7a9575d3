"""The paper's memory: each batch slot adds up its rows until it is selected (arXiv 2110.09164, Mem-AOP-GD).

    A = rho A_mem + X,  B = rho B_mem + G;    A_mem, B_mem = A, B with the selected rows set to zero

The memory is per batch slot: row m meets whatever sample is in row m of the next batch, so the batch
size is constant. One step loses nothing. Over several steps the added factors multiply each other,
and cross terms x_t g_{t+1}^T appear that the exact gradients do not have: compare `ResidualMemory`
and `QueueMemory`.
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
    """The contents of a row memory."""

    a: Array
    """Added inputs [R, M, N]."""
    b: Array
    """Added output gradients [R, M, P]."""
    cleared: Array
    """bool [R, M]: rows that were selected at the last step. They count as zero, whatever numbers a
    and b still hold there: a flag is cheaper than a pass that sets them to zero."""
    lr_last: Array = field(metadata={"host": True})
    """Step size of the last call [R], on the host."""

    def rows(self) -> tuple[Array, Array]:
        """Return the remembered rows (A_mem [R, M, N], B_mem [R, M, P]), zero where selected."""
        xp = array_module(self.a)
        cleared = self.cleared[..., None]
        a = xp.where(cleared, self.a.dtype.type(0), self.a)
        return a, xp.where(cleared, self.b.dtype.type(0), self.b)


@dataclass(frozen=True)
class RowMemory(Memory):
    """Mem-AOP-GD's memory; `decay` (a number or [R]) shrinks the remembered product at each step.

    A decay of 1 keeps all of it.
    """

    decay: float | Array = 1.0

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def start(self, x: Array, g: Array) -> RowState:
        xp, (R, M, P) = array_module(x, g), g.shape
        a, b = xp.zeros((R, M, x.shape[-1]), x.dtype), xp.zeros((R, M, P), g.dtype)
        return RowState(a, b, xp.ones((R, M), bool), np.ones(R))

    def candidates(self, state: RowState, x: Array, g: Array, lr: Array | None) -> Candidates:
        if g.shape != state.b.shape:
            raise ValueError(
                f"expected [R, M, P] = {list(state.b.shape)} as at the first step (the memory is per "
                f"batch slot), got {list(g.shape)}; keep the batch size constant (drop the last "
                "partial batch) or initialise again"
            )
        rho = carry_over(self.decay, state.lr_last, lr).astype(x.dtype)
        log_norms = accumulate(state.a, state.b, x, g, rho, state.cleared)
        return Candidates(state.a, state.b, log_norms)

    def keep(
        self, state: RowState, candidates: Candidates, selection: Selection, kept: OuterProducts
    ) -> OuterProducts:
        state.cleared = selection.mask(state.cleared.shape[-1])
        return kept

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """One multiply-add for each number of a batch; batch and memory are read, the memory written."""
        n, _, B, _, itemsize = terms
        return Overhead(2 * n * (A + B), 3 * itemsize * n * (A + B))
