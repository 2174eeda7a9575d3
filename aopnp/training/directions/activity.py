"""Activity perturbation: directions u move the pre-activations of dense layers, not their weights.

    d_n = derivative of the loss of sample n along u        G_n = d_n u_n / N
    dW = X^T G        db = sum over n of G_n

G is the estimate of dloss/d(pre-activations) for a batch of N samples. A layer treats it like the
gradient that back-propagation brings (Ren et al. 2023, arXiv 2210.03310). The estimate is
unbiased, because the direction u_n' of another sample does not move the loss of sample n. Under
batch normalisation it does: there d is the derivative of the loss of the batch, and G_n = d u_n.
Parameters that belong to no dense layer are moved, too; the d of the batch multiplies their
directions.

    E |estimate - g|^2
        = 1/m sum over layers and groups c of (sum over rows |x|^2 P Gamma_c + |g_c|^2)

A group is a set of rows that share one d: the rows of a sample or, under batch normalisation, of
the batch. Gamma_c is the sum of |delta|^2 over all layers and the rows of the group, where delta
is dloss/d(pre-activation); g_c is the part of dW and db that comes from the group. In x there is
an entry 1 for the bias. With random signs the sum is smaller by 2 sum over rows |x|^2 |delta|^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.nn import Dense
from aopnp.training.directions.deltas import activity_error
from aopnp.training.directions.entries import Entries, check_entries, draw, for_parameter
from aopnp.training.directions.pre_activations import dense_layers, interact, others
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents, add_to


@dataclass(frozen=True)
class Activity(Strategy):
    """Independent entries on pre-activations: rows x P numbers in a layer, in the place of N x P.

    `entries` is their distribution. The state of a step is the sum of the G of all directions so
    far, layer -> [R, rows, P].
    """

    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)

    def begin(self, forward_pass: ForwardPass, state: Any) -> dict[Dense, Array]:
        """Return an empty sum of the G."""
        return {}

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        """Return u [J, R or 1, rows, P] of every dense layer, then v of all other parameters."""
        numbers = {id(parameter): i for i, parameter in enumerate(forward_pass.parameters)}
        drawn = []
        for layer in dense_layers(forward_pass):
            rows, P = layer.x.shape[-2], layer.outputs
            number, dtype = numbers[id(layer.weight)], layer.weight.dtype
            u = draw(self.entries, forward_pass, number, directions, rows * P, dtype)
            drawn.append(u.reshape(*u.shape[:2], rows, P))
        for parameter in others(forward_pass):
            number = numbers[id(parameter)]
            drawn.append(for_parameter(self.entries, forward_pass, number, directions))
        return drawn

    def derivative(self, forward_pass: ForwardPass, v: Tangents, state: Any) -> Array:
        """Return d_n [J, R, N] of every sample, or under batch normalisation d [J, R, 1]."""
        layers, rest = dense_layers(forward_pass), others(forward_pass)
        for layer, u in zip(layers, v, strict=False):
            layer.perturbation = u
        for parameter, tangent in zip(rest, v[len(layers) :], strict=True):
            parameter.tangent = tangent
        moved = forward_pass.network.tangent(None)
        shares = forward_pass.loss.row_tangents(moved)
        for layer in layers:
            layer.perturbation = None
        for parameter in rest:
            parameter.tangent = None
        if interact(forward_pass):
            return shares.sum(-1, keepdims=True)
        return shares * shares.shape[-1]

    def add(
        self, forward_pass: ForwardPass, d: Array, v: Tangents, state: dict[Dense, Array]
    ) -> None:
        layers, xp = dense_layers(forward_pass), forward_pass.xp
        share = d / (d.shape[-1] * forward_pass.num_dir)
        for layer, u in zip(layers, v, strict=False):
            rows_of_group = u.shape[-2] // share.shape[-1]
            factors = xp.repeat(share, rows_of_group, -1)[..., None].astype(u.dtype)
            for factor, direction in zip(factors, u, strict=True):
                term = factor * direction
                if layer in state:
                    state[layer] = state[layer] + term
                else:
                    state[layer] = term
        of_batch = share.sum(-1)
        for parameter, directions in zip(others(forward_pass), v[len(layers) :], strict=True):
            axes = (1,) * (directions.ndim - 2)
            factors = of_batch.astype(directions.dtype)
            for factor, direction in zip(factors, directions, strict=True):
                add_to(parameter, factor.reshape(-1, *axes) * direction)

    def end(self, forward_pass: ForwardPass, state: dict[Dense, Array]) -> None:
        """Hand every dense layer its G."""
        for layer, g in state.items():
            layer.backward(g, forward_pass.step, needs_input=False)

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array | None:
        return activity_error(forward_pass, gradient, signs=self.entries == "rademacher")
