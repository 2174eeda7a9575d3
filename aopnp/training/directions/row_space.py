"""Row-space directions: the weight gradient X^T G lies in the row space of X, and so does v.

    [V; b] = Q r        Q [N + 1, k] an orthonormal basis of the row space of [X, 1]
                        r [k, P] independent entries

    E |estimate - g|^2 = (sum over layers of k P + 1) / m |g|^2        unbiased
    random signs:        (sum over layers of k P - 1) / m |g|^2

X [rows, N] are the inputs of a layer, k is the rank of [X, 1], V is the direction of the weights
and b that of the bias. The dimension is lower wherever a batch has fewer rows than the layer has
inputs. Where it has more, nothing would be gained, and the layer's directions are independent
entries. This is so in all convolutions, whose rows are patches, and for all other parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.nn import BinaryDense, Dense
from aopnp.nn.layer import Layer
from aopnp.training.directions.entries import SPREAD, Entries, check_entries, draw, for_parameter
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents


@dataclass(frozen=True)
class RowSpace(Strategy):
    """`V = Q r` in every dense layer with at most as many rows as inputs.

    `entries` is the distribution of r's entries.
    """

    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)

    def begin(self, forward_pass: ForwardPass, state: Any) -> dict[int, Array]:
        """Return number of a weight -> Q of its layer, for the layers that are `narrow`.

        The parameter that follows such a weight is the layer's bias.
        """
        numbers = {id(parameter): i for i, parameter in enumerate(forward_pass.parameters)}
        bases = {}
        for layer in forward_pass.network.walk():
            if narrow(layer):
                bases[numbers[id(layer.weight)]] = row_space(forward_pass, layer)
        return bases

    def sample(
        self, forward_pass: ForwardPass, directions: Sequence[int], state: dict[int, Array]
    ) -> Tangents:
        v: dict[int, Array] = {}
        for i, parameter in enumerate(forward_pass.parameters):
            if i in state:
                q = state[i]
                k, (N, P) = q.shape[-1], parameter.shape[1:]
                r = draw(self.entries, forward_pass, i, directions, k * P, parameter.dtype)
                # The transpose of Q r [J, R, P, N + 1], as weights lie in memory.
                product = r.reshape(*r.shape[:2], P, k) @ q.swapaxes(-1, -2)
                v[i] = product[..., :N].swapaxes(-1, -2)
                if product.shape[-1] > N:
                    v[i + 1] = product[..., N]
            elif i not in v:
                v[i] = for_parameter(self.entries, forward_pass, i, directions)
        return [v[i] for i in range(len(v))]

    def end(self, forward_pass: ForwardPass, state: Any) -> None:
        """Forget Q: the next batch has another one."""

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: dict[int, Array]
    ) -> Array:
        xp = forward_pass.xp
        dimensions: Any = forward_pass.n
        for i, q in state.items():
            rows, P = q.shape[-2], gradient[i].shape[-1]
            # |Q|^2 is the rank: columns beyond it are zero.
            rank = xp.rint((q * q).sum((-2, -1)))
            dimensions = dimensions + (rank - rows) * P
        factor = (dimensions + SPREAD[self.entries]) / forward_pass.num_dir
        return xp.full(len(gradient[0]), 1.0) * factor


def narrow(layer: Layer) -> TypeGuard[Dense]:
    """Return whether the weight gradient is X^T G with at most as many rows in X as columns."""
    if not isinstance(layer, Dense):
        return False
    if isinstance(layer, BinaryDense) and layer.masked:
        return False
    return layer.sample is None and layer.x.shape[-2] <= layer.inputs


def row_space(forward_pass: ForwardPass, layer: Dense) -> Array:
    """Return Q [R or 1, N + 1, k] of the layer's last inputs [R or 1, M, N]; N rows without a bias.

    Columns beyond the rank are zero.
    """
    xp, x = forward_pass.xp, layer.x
    if layer.bias in layer.parameters():
        ones = xp.ones((*x.shape[:-1], 1), x.dtype)
        x = xp.concatenate([x, ones], -1)
    left, sizes, _ = xp.linalg.svd(x.swapaxes(-1, -2), full_matrices=False)
    largest = sizes[..., :1]
    negligible = sizes <= largest * max(x.shape[-2:]) * np.finfo(x.dtype).eps
    # The sign of a singular vector is the choice of the library that computes it. With the sign
    # fixed, all devices draw the same directions.
    signs = xp.where(left.sum(-2, keepdims=True) < 0, -1, 1).astype(x.dtype)
    return xp.where(negligible[..., None, :], 0, left * signs)
