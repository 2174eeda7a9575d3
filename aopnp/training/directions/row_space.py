"""S5, row-space directions: the weight gradient X^T G lies in the row space of the layer's inputs, so v may as well.

    [V; b] = Q r        Q [N + 1, k] an orthonormal basis of the row space of [X, 1]        r [k, P] independent

Unbiased. With k_l the rank in layer l, E |estimate - g|^2 = (sum of k_l P_l + 1) / m |g|^2, -1 with random signs: fewer
dimensions, wherever a batch has fewer rows than the layer has inputs. Where it has not (and in all convolutions: their
rows are patches) nothing would be gained, and directions are plain. So are those of what is no dense layer.
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
    """`V = Q r` in every dense layer with more inputs than rows."""

    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)

    def begin(self, forward_pass: ForwardPass, state: Any) -> dict[int, Array]:
        """Return Q of the narrow layers, by the number of the weight; its bias is the parameter that follows."""
        numbers = {id(parameter): i for i, parameter in enumerate(forward_pass.parameters)}
        return {
            numbers[id(layer.weight)]: row_space(forward_pass, layer)
            for layer in forward_pass.network.walk()
            if narrow(layer)
        }

    def sample(
        self, forward_pass: ForwardPass, directions: Sequence[int], state: dict[int, Array]
    ) -> Tangents:
        v: dict[int, Array] = {}
        for i, parameter in enumerate(forward_pass.parameters):
            if i in state:
                k, (N, P) = state[i].shape[-1], parameter.shape[1:]
                r = draw(self.entries, forward_pass, i, directions, k * P, parameter.dtype)
                both = r.reshape(*r.shape[:2], P, k) @ state[i].swapaxes(
                    -1, -2
                )  # as weights lie in memory
                v[i] = both[..., :N].swapaxes(-1, -2)
                if both.shape[-1] > N:
                    v[i + 1] = both[..., N]
            elif i not in v:
                v[i] = for_parameter(self.entries, forward_pass, i, directions)
        return [v[i] for i in range(len(v))]

    def end(self, forward_pass: ForwardPass, state: Any) -> None:
        """Forget Q: the next batch has another."""

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: dict[int, Array]
    ) -> Array:
        dimensions: Any = forward_pass.n
        for i, q in state.items():
            N1, P = q.shape[-2], gradient[i].shape[-1]
            dimensions = (
                dimensions + (forward_pass.xp.rint((q * q).sum((-2, -1))) - N1) * P
            )  # |Q|^2 is its rank
        factor = (dimensions + SPREAD[self.entries]) / forward_pass.num_dir
        return forward_pass.xp.full(len(gradient[0]), 1.0) * factor


def narrow(layer: Layer) -> TypeGuard[Dense]:
    """Return whether the weights' gradient is X^T G with fewer rows in X than columns."""
    if not isinstance(layer, Dense) or (isinstance(layer, BinaryDense) and layer.masked):
        return False
    return layer.sample is None and layer.x.shape[-2] <= layer.inputs


def row_space(forward_pass: ForwardPass, layer: Dense) -> Array:
    """Return Q [R or 1, N + 1, k] of the last inputs [R or 1, M, N]; N without a bias. Beyond the rank it is zero."""
    xp, x = forward_pass.xp, layer.x
    if layer.bias in layer.parameters():
        x = xp.concatenate([x, xp.ones((*x.shape[:-1], 1), x.dtype)], -1)
    left, sizes, _ = xp.linalg.svd(x.swapaxes(-1, -2), full_matrices=False)
    negligible = sizes <= sizes[..., :1] * max(x.shape[-2:]) * np.finfo(x.dtype).eps
    # Which sign a singular vector has is its library's choice: with this one all devices draw the same directions.
    signs = xp.where(left.sum(-2, keepdims=True) < 0, -1, 1).astype(x.dtype)
    return xp.where(negligible[..., None, :], 0, left * signs)
