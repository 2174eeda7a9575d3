"""S6, activity perturbation: the directions move the pre-activations of the dense layers, not their weights.

    d_n = derivative of sample n's own loss along u        G_n = d_n u_n / N        dW = X^T G      db = sum of G_n

G stands for dloss/d(pre-activations), and the layer does with it what it does with backpropagation's (Ren et al. 2023,
arXiv 2210.03310). Unbiased: u_n' of another sample n' does not move the loss of n. Under batch norm it does, and d is
then the batch's, G_n = d u_n. Parameters of other layers get directions of their own, and the batch's d.

    E |estimate - g|^2 = 1/m sum over layers and groups c of (sum over rows |x|^2 P Gamma_c + |g_c|^2)

A group shares one d: a sample, or under batch norm the batch. Gamma_c = sum over layers and rows of |delta|^2 and g_c
is the group's part of dW and db. With random signs, 2 sum |x|^2 |delta|^2 less. In x a 1 stands for the bias.
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
    """Entries on pre-activations: rows x P numbers a layer instead of N x P."""

    entries: Entries = "rademacher"

    def __post_init__(self) -> None:
        check_entries(self.entries)

    def begin(self, forward_pass: ForwardPass, state: Any) -> dict[Dense, Array]:
        """Return where the G [R, rows, P] are added up."""
        return {}

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        """Return u [J, R or 1, rows, P] of every dense layer, then the directions of other layers' parameters."""
        layers, drawn = dense_layers(forward_pass), []
        numbers = {id(parameter): i for i, parameter in enumerate(forward_pass.parameters)}
        for layer in layers:
            w, rows = layer.weight, layer.x.shape[-2]
            u = draw(
                self.entries,
                forward_pass,
                numbers[id(w)],
                directions,
                rows * layer.outputs,
                w.dtype,
            )
            drawn.append(u.reshape(*u.shape[:2], rows, layer.outputs))
        return drawn + [
            for_parameter(self.entries, forward_pass, numbers[id(p)], directions)
            for p in others(forward_pass)
        ]

    def derivative(self, forward_pass: ForwardPass, v: Tangents, state: Any) -> Array:
        """Return d_n [J, R, N] of every sample, or d [J, R, 1] of the batch."""
        layers, rest = dense_layers(forward_pass), others(forward_pass)
        for layer, u in zip(layers, v, strict=False):
            layer.perturbation = u
        for parameter, own in zip(rest, v[len(layers) :], strict=True):
            parameter.tangent = own
        of_rows = forward_pass.loss.row_tangents(forward_pass.network.tangent(None))
        for layer in layers:
            layer.perturbation = None
        for parameter in rest:
            parameter.tangent = None
        return (
            of_rows.sum(-1, keepdims=True)
            if interact(forward_pass)
            else of_rows * of_rows.shape[-1]
        )

    def add(
        self, forward_pass: ForwardPass, d: Array, v: Tangents, state: dict[Dense, Array]
    ) -> None:
        layers, share = dense_layers(forward_pass), d / (d.shape[-1] * forward_pass.num_dir)
        for layer, u in zip(layers, v, strict=False):
            of_rows = forward_pass.xp.repeat(share, u.shape[-2] // share.shape[-1], -1)[
                ..., None
            ].astype(u.dtype)
            for j in range(len(u)):
                state[layer] = (
                    state[layer] + of_rows[j] * u[j] if layer in state else of_rows[j] * u[j]
                )
        for parameter, own in zip(others(forward_pass), v[len(layers) :], strict=True):
            for each, direction in zip(share.sum(-1).astype(own.dtype), own, strict=True):
                add_to(parameter, each.reshape(-1, *(1,) * (own.ndim - 2)) * direction)

    def end(self, forward_pass: ForwardPass, state: dict[Dense, Array]) -> None:
        for layer, g in state.items():
            layer.backward(g, forward_pass.step, needs_input=False)

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array | None:
        return activity_error(forward_pass, gradient, signs=self.entries == "rademacher")
