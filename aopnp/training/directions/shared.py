"""Shared directions: all entries in a block of a parameter have the same entry of v.

    v = U r        r of q << n independent entries
    U [n, q]: column k is 1 / sqrt(size of block k) within block k, and 0 elsewhere

    E d v = U U^T g: every entry of g is replaced by the mean of its block
    E |estimate - U U^T g|^2 = (q + 1) / m |U U^T g|^2        random signs: (q - 1) / m |U U^T g|^2

The estimate is biased, unless g is constant within the blocks.
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
    """`v = U r`, where a block is `block` entries of one parameter that are neighbours in memory.

    The last block of a parameter may be smaller. `entries` is the distribution of r's entries.
    """

    block: int = 16
    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)
        if self.block < 1:
            raise ValueError(f"expected blocks of at least 1 entry, got {self.block}")

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        v = []
        for number, parameter in enumerate(forward_pass.parameters):
            size = entry_count(parameter)
            blocks, dtype = math.ceil(size / self.block), parameter.dtype
            r = draw(self.entries, forward_pass, number, directions, blocks, dtype)
            r[..., : size // self.block] *= self.block**-0.5
            rest = size % self.block
            if rest:
                r[..., -1] *= rest**-0.5
            flat = forward_pass.xp.repeat(r, self.block, -1)[..., :size]
            v.append(shaped(flat, parameter))
        return v

    def block_means(self, forward_pass: ForwardPass, gradient: Sequence[Array]) -> list[Array]:
        """Return U U^T g [R, ...]: every entry is replaced by the mean of its block."""
        means = []
        for g, parameter in zip(gradient, forward_pass.parameters, strict=True):
            means.append(self._block_means(g, parameter, forward_pass.xp))
        return means

    def _block_means(self, g: Array, parameter: Parameter, xp: Any) -> Array:
        flat = flattened(g[None], parameter)
        size = flat.shape[-1]
        padded = xp.pad(flat, [(0, 0), (0, 0), (0, -size % self.block)])
        sums = padded.reshape(*flat.shape[:2], -1, self.block).sum(-1)
        counts = xp.minimum(size - xp.arange(0, size, self.block), self.block)
        means = sums / counts.astype(g.dtype)
        return shaped(xp.repeat(means, self.block, -1)[..., :size], parameter)[0]

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array:
        means = self.block_means(forward_pass, gradient)
        q = 0
        for parameter in forward_pass.parameters:
            q += math.ceil(entry_count(parameter) / self.block)
        bias = squared([g - mean for g, mean in zip(gradient, means, strict=True)])
        factor = (q + SPREAD[self.entries]) / forward_pass.num_dir
        return (factor * squared(means) + bias) / squared(gradient)
