"""S4, shared directions: every block of `block` entries of a parameter moves together.

    v = U r        U [n, q]: column k is 1 / sqrt(size of block k) within block k, else 0        r of q << n entries

E d v = U U^T g, the block means of g in the place of its entries: biased, unless g is constant within the blocks.
Around that mean the variance is (q + 1) / m |U U^T g|^2, or (q - 1) / m with random signs. The
last block of a parameter may be smaller.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.nn.layer import Parameter
from aopnp.training.directions.entries import (
    SPREAD,
    Entries,
    check_entries,
    draw,
    flattened,
    shaped,
)
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents, entry_count, squared


@dataclass(frozen=True)
class Shared(Strategy):
    """One number for each block of `block` entries, which lie together in memory."""

    block: int = 16
    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)
        if self.block < 1:
            raise ValueError(f"expected blocks of at least 1 entry, got {self.block}")

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        def drawn(number: int, p: Parameter) -> Array:
            size = entry_count(p)
            r = draw(
                self.entries,
                forward_pass,
                number,
                directions,
                math.ceil(size / self.block),
                p.dtype,
            )
            r[..., : size // self.block] *= self.block**-0.5
            if rest := size % self.block:
                r[..., -1] *= rest**-0.5
            return shaped(forward_pass.xp.repeat(r, self.block, -1)[..., :size], p)

        return [drawn(i, parameter) for i, parameter in enumerate(forward_pass.parameters)]

    def block_means(self, forward_pass: ForwardPass, gradient: Sequence[Array]) -> list[Array]:
        """Return U U^T g: each entry [R, ...] replaced by the mean of its block."""

        def mean(g: Array, p: Parameter) -> Array:
            flat = flattened(g[None], p)
            size, xp = flat.shape[-1], forward_pass.xp
            padded = xp.pad(flat, [(0, 0), (0, 0), (0, -size % self.block)])
            counts = xp.minimum(size - xp.arange(0, size, self.block), self.block)
            means = padded.reshape(*flat.shape[:2], -1, self.block).sum(-1) / counts.astype(g.dtype)
            return shaped(xp.repeat(means, self.block, -1)[..., :size], p)[0]

        return [
            mean(g, parameter)
            for g, parameter in zip(gradient, forward_pass.parameters, strict=True)
        ]

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        means = self.block_means(forward_pass, gradient)
        q = sum(
            math.ceil(entry_count(parameter) / self.block) for parameter in forward_pass.parameters
        )
        lost = squared([g - mean for g, mean in zip(gradient, means, strict=True)])
        return (
            (q + SPREAD[self.entries]) / forward_pass.num_dir * squared(means) + lost
        ) / squared(gradient)
