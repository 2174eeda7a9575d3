"""What backpropagation knows of the pre-activations, for the closed form of activity perturbation.

Only who checks that form needs it: a training step with forward gradients makes no backward pass.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators import Exact
from aopnp.estimators.outer_products import Gradient
from aopnp.estimators.product import Product
from aopnp.nn import BinaryDense, Dense
from aopnp.training.directions.pre_activations import dense_layers, interact, others
from aopnp.training.directions.strategy import ForwardPass, squared


class Listener(Product):
    """The exact weight product of a layer, which keeps the delta that it is given."""

    def __call__(self, a: Array, b: Array, *arguments: Any, **options: Any) -> Gradient:
        self.delta = b
        return super().__call__(a, b, *arguments, **options)


def deltas(forward_pass: ForwardPass) -> list[Array]:
    """Return dloss/d(pre-activations) [R, rows, P] of every dense layer, from a backward pass."""
    layers = dense_layers(forward_pass)
    products = [layer.weight_product for layer in layers]
    listeners = [Listener(Exact()) for _ in layers]
    for layer, listener in zip(layers, listeners, strict=True):
        layer.weight_product = listener
    forward_pass.network.backward(
        forward_pass.loss.backward(),
        replace(forward_pass.step, loss=forward_pass.loss),
        needs_input=False,
    )
    for layer, product in zip(layers, products, strict=True):
        layer.weight_product = product
    deltas = zip(layers, listeners, strict=True)
    return [
        listener.delta.reshape(len(listener.delta), -1, layer.outputs) for layer, listener in deltas
    ]


def activity_error(
    forward_pass: ForwardPass, gradient: Sequence[Array], *, signs: bool
) -> Array | None:
    """Return E |estimate - g|^2 / |g|^2 [R], by the formula of `activity`.

    None where binary layers mask gradients, and where other layers have parameters and yet samples do not interact: no
    layer is like that.
    """
    rest, together = others(forward_pass), interact(forward_pass)
    masked = any(
        isinstance(layer, BinaryDense) and layer.masked for layer in dense_layers(forward_pass)
    )
    if masked or (rest and not together):
        return None
    parts = deltas(forward_pass)
    groups = 1 if together else forward_pass.loss.backward().shape[-2]
    inputs = [_with_one(forward_pass, layer) for layer in dense_layers(forward_pass)]
    pairs = [(_grouped(x, groups), _grouped(d, groups)) for x, d in zip(inputs, parts, strict=True)]
    own = [
        gradient[i]
        for i, parameter in enumerate(forward_pass.parameters)
        if any(parameter is p for p in rest)
    ]
    gamma: Any = sum((d * d).sum((-2, -1)) for _, d in pairs)
    if own:
        gamma = gamma + squared(own)[..., None]
    total: Any = 0.0
    for x, d in pairs:
        x2, d2, P = (x * x).sum(-1), (d * d).sum(-1), d.shape[-1]
        of_groups = ((x @ x.swapaxes(-1, -2)) * (d @ d.swapaxes(-1, -2))).sum((-2, -1))
        total = (
            total
            + (x2.sum(-1) * P * gamma + of_groups).sum(-1)
            - 2 * signs * (x2 * d2).sum((-2, -1))
        )
    for g in own:
        total = total + g[0].size * gamma.sum(-1) + (1 - 2 * signs) * squared([g])
    return total / squared(gradient) / forward_pass.num_dir


def _with_one(forward_pass: ForwardPass, layer: Dense) -> Array:
    """Return the inputs, with a column of ones where there is a bias."""
    x = layer.x
    if layer.bias not in layer.parameters():
        return x
    return forward_pass.xp.concatenate([x, forward_pass.xp.ones((*x.shape[:-1], 1), x.dtype)], -1)


def _grouped(rows: Array, groups: int) -> Array:
    """Return [R, rows, ...] as [R, groups, rows of a group, ...]."""
    return rows.reshape(len(rows), groups, -1, rows.shape[-1])
