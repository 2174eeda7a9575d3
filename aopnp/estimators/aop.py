"""Approximate outer products: policy x memory = estimator (Mem-AOP-GD, arXiv 2110.09164).

candidates (A, B) = memory(X, G)        S = policy(log |a_m| |b_m|), |S| = K
estimate          = sum over S of a_m b_m^T        memory <- what is not in S
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from aopnp.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.kernels import gather
from aopnp.knobs import each
from aopnp.memories import Memory, NoMemory
from aopnp.outer_products import Gradient, OuterProducts
from aopnp.policies import Policy


@dataclass(frozen=True)
class AOP(Estimator):
    """Keep K of M outer products by `policy`, do with the others what `memory` does; k is a number or [R]."""

    policy: Policy
    k: int | Array
    memory: Memory = NoMemory()  # noqa: RUF009 - frozen and without fields

    def __post_init__(self) -> None:
        k = np.asarray(self.k)
        if k.dtype.kind not in "iu" or k.min() < 1:
            raise ValueError(
                f"expected K to be an integer of at least 1, got k = {self.k!r}; keep 1 or more of the M outer products"
            )

    def slots(self, batch_size: int) -> int:
        return self.memory.slots(batch_size)

    def start(self, x: Array, g: Array) -> Any:
        if np.max(self.k) > g.shape[-2]:
            raise ValueError(
                f"expected 1 <= K <= M = {g.shape[-2]}, got k = {np.max(self.k)}; lower k or enlarge the batch"
            )
        return self.memory.start(x, g)

    def __call__(self, x: Array, g: Array, state: Any, noise: Array | None, lr: Array) -> Gradient:
        xp = array_module(x, g)
        if noise is None or noise.shape[-1] != self.slots(g.shape[-2]):
            raise ValueError(
                f"expected selection noise of shape [R or 1, {self.slots(g.shape[-2])}], got "
                f"{None if noise is None else list(noise.shape)}; draw it with selection_noise, as fit does"
            )
        count = each(self.k, len(g), np.int64)
        candidates = self.memory.candidates(state, xp.ascontiguousarray(x), xp.ascontiguousarray(g), lr)
        selection = self.policy(candidates.log_norms, noise, count)
        a, b = gather(candidates.a, candidates.b, selection.rows, selection.weights, selection.count)
        return self.memory.keep(state, candidates, selection, OuterProducts(a, b, selection.count))
