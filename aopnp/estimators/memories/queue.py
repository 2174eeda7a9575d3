"""A queue of whole pairs: what was not selected waits, unmixed, and competes with the rows of the next batches.

    candidates = queued pairs (both factors times rho_t), oldest first, then the M fresh rows

While the queue has room, the updates plus the queued products equal the sum of the exact gradients (no cross
terms). When more than `capacity` pairs are left, those of lowest score go, and are counted in `dropped`.
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
    """What the queue holds, oldest first; slots beyond `count` are zero."""

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
    """Keep up to `capacity` unselected pairs; `decay` (a number or [R]) shrinks their products at each step."""

    capacity: int = field(metadata={"shared": True})
    decay: float | Array = 1.0

    def __post_init__(self) -> None:
        check_decay(self.decay)
        if self.capacity < 1:
            raise ValueError(
                f"expected a queue capacity of at least 1 pair, got {self.capacity}; NoMemory() keeps none"
            )

    def slots(self, batch_size: int) -> int:
        return self.capacity + batch_size

    def start(self, x: Array, g: Array) -> QueueState:
        xp, (R, _, P), C = array_module(x, g), g.shape, self.capacity
        empty = xp.zeros((R, C, x.shape[-1]), x.dtype), xp.zeros((R, C, P), g.dtype)
        return QueueState(*empty, xp.zeros(R, np.int64), xp.zeros(R, np.int64), np.ones(R))

    def candidates(self, state: QueueState, x: Array, g: Array, lr: Array | None) -> Candidates:
        xp, R = array_module(x, g), len(g)
        rho = replica_factors(carry_over(self.decay, state.lr_last, lr), state.x)
        a = xp.concatenate([rho * state.x, xp.broadcast_to(x, (R, *x.shape[1:]))], axis=1)
        b = xp.concatenate([rho * state.g, g], axis=1)
        slot = xp.arange(a.shape[1])
        empty = (slot >= state.count[:, None]) & (slot < self.capacity)
        return Candidates(a, b, xp.where(empty, -np.inf, log_norms(a, b)))

    def keep(
        self, state: QueueState, candidates: Candidates, selection: Selection, kept: OuterProducts
    ) -> OuterProducts:
        xp, C = array_module(candidates.a), self.capacity
        assert candidates.log_norms is not None
        score = xp.where(xp.isnan(candidates.log_norms), np.inf, candidates.log_norms)
        left = ~xp.isneginf(score) & ~selection.mask(score.shape[-1])
        best = xp.argsort(xp.where(left, -score, np.inf), axis=-1, kind="stable")[:, :C]
        stays = xp.zeros_like(left)
        stays[xp.arange(len(left))[:, None], best] = True
        stays &= left
        # A stable sort moves what stays to the front and leaves it in order of age.
        order = xp.argsort((~stays).astype(np.int8), axis=-1, kind="stable")[:, :C, None]
        stays_now = xp.take_along_axis(stays[..., None], order, axis=1)
        state.x = xp.where(
            stays_now, xp.take_along_axis(candidates.a, order, axis=1), state.x.dtype.type(0)
        )
        state.g = xp.where(
            stays_now, xp.take_along_axis(candidates.b, order, axis=1), state.g.dtype.type(0)
        )
        state.count = stays.sum(-1)
        state.dropped = state.dropped + left.sum(-1) - state.count
        return kept

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Queued pairs are scaled and scored; all candidates are copied twice, into place and back into the queue."""
        n, _, B, _, itemsize = terms
        return Overhead(3 * self.capacity * (A + B), 4 * itemsize * (self.capacity + n) * (A + B))
