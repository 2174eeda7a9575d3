"""The paper's memory: each slot of the batch adds up its rows until it is selected.

    A = rho A_mem + X        B = rho B_mem + G
    A_mem, B_mem = A, B with the selected rows set to zero

(Mem-AOP-GD, arXiv 2110.09164.) The memory belongs to the slots of the batch: row m meets whatever
sample is in row m of the next batch, so the batch size is constant. One step loses nothing. Over
several steps the added factors multiply each other, and cross terms x_t g_{t+1}^T appear that the
exact gradients do not have: compare `ResidualMemory` and `QueueMemory`.
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
    """bool [R, M]: rows that were selected at the last step.

    They count as zero, whatever numbers a and b still hold there: a flag is cheaper than a pass
    that sets them to zero.
    """
    lr_last: Array = field(metadata={"host": True})
    """Step size of the last call [R], on the host."""

    def rows(self) -> tuple[Array, Array]:
        """Return the remembered rows (A_mem [R, M, N], B_mem [R, M, P]), zero where selected."""
        xp = array_module(self.a)
        cleared = self.cleared[..., None]
        a = xp.where(cleared, self.a.dtype.type(0), self.a)
        b = xp.where(cleared, self.b.dtype.type(0), self.b)
        return a, b


@dataclass(frozen=True)
class RowMemory(Memory):
    """Mem-AOP-GD's memory; `decay` (a number or [R]) shrinks the remembered product at each step.

    A decay of 1 keeps all of it.
    """

    decay: float | Array = 1.0

    def __post_init__(self) -> None:
        check_decay(self.decay)

    def start(self, x: Array, g: Array) -> RowState:
        xp = array_module(x, g)
        R, M, P = g.shape
        N = x.shape[-1]
        a = xp.zeros((R, M, N), x.dtype)
        b = xp.zeros((R, M, P), g.dtype)
        cleared = xp.ones((R, M), bool)
        return RowState(a, b, cleared, lr_last=np.ones(R))

    def candidates(self, state: RowState, x: Array, g: Array, lr: Array | None) -> Candidates:
        if g.shape != state.b.shape:
            raise ValueError(
                f"expected [R, M, P] = {list(state.b.shape)} as at the first step (the memory is "
                f"per batch slot), got {list(g.shape)}; keep the batch size constant (drop the "
                "last partial batch) or initialise again"
            )
        rho = carry_over(self.decay, state.lr_last, lr)
        rho = rho.astype(x.dtype)
        log_norms = accumulate(state.a, state.b, x, g, rho, state.cleared)
        return Candidates(state.a, state.b, log_norms)

    def keep(
        self,
        state: RowState,
        candidates: Candidates,
        selection: Selection,
        kept: OuterProducts,
    ) -> OuterProducts:
        state.cleared = selection.mask(state.cleared.shape[-1])
        return kept

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the cost of one multiply-add for each number of a batch.

        Batch and memory are read, and the memory is written.
        """
        n, _, B, _, itemsize = terms
        flops = 2 * n * (A + B)
        bytes_moved = 3 * itemsize * n * (A + B)
        return Overhead(flops, bytes_moved)
