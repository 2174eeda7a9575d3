"""A queue of whole pairs: a pair that was not selected waits and competes with the next batches.

    candidates = queued pairs (both factors times rho_t), oldest first, then the M fresh rows

Queued pairs are not mixed. While the queue has room, the updates plus the queued products equal the
sum of the exact gradients (no cross terms). When more than `capacity` pairs are left, the pairs of
lowest score are lost, and are counted in `dropped`.
"""

from dataclasses import dataclass, field

import numpy as np

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.arrays.kernels import log_norms
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.memories.memory import Candidates, Memory, carry_over, check_decay
from aopnp.estimators.outer_products import OuterProducts
from aopnp.estimators.policies import Selection


@dataclass
class QueueState:
    """The contents of the queue, oldest pair first; slots beyond `count` are zero."""

    x: Array
    """Queued inputs [R, C, N]."""
    g: Array
    """Queued output gradients [R, C, P]."""
    count: Array
    """Number of queued pairs int64 [R]."""
    dropped: Array
    """Number of pairs lost since the start int64 [R]."""
    lr_last: Array = field(metadata={"host": True})
    """Step size of the last call [R], on the host."""


@dataclass(frozen=True)
class QueueMemory(Memory):
    """Keep up to `capacity` unselected pairs.

    `decay` (a number or [R]) shrinks their products at each step; 1 shrinks nothing.
    """

    capacity: int = field(metadata={"shared": True})
    decay: float | Array = 1.0

    def __post_init__(self) -> None:
        check_decay(self.decay)
        if self.capacity < 1:
            raise ValueError(
                f"expected a queue capacity of at least 1 pair, got {self.capacity}; "
                "NoMemory() keeps none"
            )

    def slots(self, batch_size: int) -> int:
        return self.capacity + batch_size

    def start(self, x: Array, g: Array) -> QueueState:
        xp, C = array_module(x, g), self.capacity
        R, _, P = g.shape
        N = x.shape[-1]
        return QueueState(
            x=xp.zeros((R, C, N), x.dtype),
            g=xp.zeros((R, C, P), g.dtype),
            count=xp.zeros(R, np.int64),
            dropped=xp.zeros(R, np.int64),
            lr_last=np.ones(R),
        )

    def candidates(self, state: QueueState, x: Array, g: Array, lr: Array | None) -> Candidates:
        xp, R = array_module(x, g), len(g)
        rho = carry_over(self.decay, state.lr_last, lr)
        rho = replica_factors(rho, state.x)
        fresh = xp.broadcast_to(x, (R, *x.shape[1:]))
        a = xp.concatenate([rho * state.x, fresh], axis=1)
        b = xp.concatenate([rho * state.g, g], axis=1)
        slot = xp.arange(a.shape[1])
        unused = slot >= state.count[:, None]
        empty = unused & (slot < self.capacity)
        scores = xp.where(empty, -np.inf, log_norms(a, b))
        return Candidates(a, b, scores)

    def keep(
        self,
        state: QueueState,
        candidates: Candidates,
        selection: Selection,
        kept: OuterProducts,
    ) -> OuterProducts:
        xp, C = array_module(candidates.a), self.capacity
        assert candidates.log_norms is not None
        isnan = xp.isnan(candidates.log_norms)
        score = xp.where(isnan, np.inf, candidates.log_norms)
        R, slots = score.shape
        left = ~xp.isneginf(score) & ~selection.mask(slots)
        # Of the pairs that are left, the C of largest score stay.
        ranks = xp.where(left, -score, np.inf)
        best = xp.argsort(ranks, axis=-1, kind="stable")[:, :C]
        stays = xp.zeros_like(left)
        stays[xp.arange(R)[:, None], best] = True
        stays &= left
        # A stable sort moves them to the front and leaves them in order of age.
        goes = (~stays).astype(np.int8)
        order = xp.argsort(goes, axis=-1, kind="stable")[:, :C, None]
        filled = xp.take_along_axis(stays[..., None], order, axis=1)
        x = xp.take_along_axis(candidates.a, order, axis=1)
        g = xp.take_along_axis(candidates.b, order, axis=1)
        state.x = xp.where(filled, x, state.x.dtype.type(0))
        state.g = xp.where(filled, g, state.g.dtype.type(0))
        state.count = stays.sum(-1)
        state.dropped = state.dropped + left.sum(-1) - state.count
        return kept

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the cost of scaling and scoring the queued pairs and of copying all candidates.

        Candidates are copied twice: into place, and back into the queue.
        """
        n, _, B, _, itemsize = terms
        C = self.capacity
        flops = 3 * C * (A + B)
        bytes_moved = 4 * itemsize * (C + n) * (A + B)
        return Overhead(flops, bytes_moved)
