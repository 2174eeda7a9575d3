"""The closed form of the error of activity perturbation, which needs a backward pass.

It reads delta = dloss/d(pre-activations) of every dense layer, which only back-propagation knows.
The form is for checking: a training step with forward gradients makes no backward pass.
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
    """The exact weight product of a layer, which remembers its second factor delta."""

    def __call__(self, a: Array, b: Array, *arguments: Any, **options: Any) -> Gradient:
        self.delta = b
        return super().__call__(a, b, *arguments, **options)


def deltas(forward_pass: ForwardPass) -> list[Array]:
    """Return dloss/d(pre-activations) [R, rows, P] of every dense layer, from a backward pass.

    The backward pass overwrites the gradients of the parameters.
    """
    layers = dense_layers(forward_pass)
    products = [layer.weight_product for layer in layers]
    listeners = [Listener(Exact()) for _ in layers]
    for layer, listener in zip(layers, listeners, strict=True):
        layer.weight_product = listener
    step = replace(forward_pass.step, loss=forward_pass.loss)
    forward_pass.network.backward(forward_pass.loss.backward(), step, needs_input=False)
    for layer, product in zip(layers, products, strict=True):
        layer.weight_product = product
    found = []
    for layer, listener in zip(layers, listeners, strict=True):
        delta = listener.delta
        found.append(delta.reshape(len(delta), -1, layer.outputs))
    return found


def activity_error(
    forward_pass: ForwardPass, gradient: Sequence[Array], *, signs: bool
) -> Array | None:
    """Return E |estimate - g|^2 / |g|^2 [R] by the formula in `activity`.

    `signs` chooses the form for random signs. The answer is None if binary layers mask gradients,
    or if some parameter belongs to no dense layer although samples do not interact; the library
    has no such layer.
    """
    layers, rest = dense_layers(forward_pass), others(forward_pass)
    samples_interact = interact(forward_pass)
    masked = any(isinstance(layer, BinaryDense) and layer.masked for layer in layers)
    if masked or (rest and not samples_interact):
        return None
    groups = 1
    if not samples_interact:
        groups = forward_pass.loss.backward().shape[-2]
    pairs = []
    for layer, delta in zip(layers, deltas(forward_pass), strict=True):
        x = _with_ones(forward_pass, layer)
        pairs.append((_grouped(x, groups), _grouped(delta, groups)))
    ids = {id(parameter) for parameter in rest}
    of_rest = [
        g
        for g, parameter in zip(gradient, forward_pass.parameters, strict=True)
        if id(parameter) in ids
    ]
    total = _sum_of_errors(pairs, of_rest, signs)
    return total / squared(gradient) / forward_pass.num_dir


def _sum_of_errors(pairs: list[tuple[Array, Array]], of_rest: list[Array], signs: bool) -> Array:
    """Return m E |estimate - g|^2 [R].

    `pairs` are x and delta of each dense layer [R, groups, rows, ...]; `of_rest` are the gradients
    of all other parameters.
    """
    gamma: Any = sum((delta * delta).sum((-2, -1)) for _, delta in pairs)
    if of_rest:
        gamma = gamma + squared(of_rest)[..., None]
    total: Any = 0.0
    for x, delta in pairs:
        P = delta.shape[-1]
        x_squares = (x * x).sum(-1)
        delta_squares = (delta * delta).sum(-1)
        # |g_c|^2 = sum over pairs of rows of <x, x'> <delta, delta'>
        products = (x @ x.swapaxes(-1, -2)) * (delta @ delta.swapaxes(-1, -2))
        of_groups = x_squares.sum(-1) * P * gamma + products.sum((-2, -1))
        total = total + of_groups.sum(-1)
        if signs:
            total = total - 2 * (x_squares * delta_squares).sum((-2, -1))
    # Such a parameter counts like a layer of one row, with x = 1 and delta = g.
    for g in of_rest:
        total = total + g[0].size * gamma.sum(-1)
        if signs:
            total = total - squared([g])
        else:
            total = total + squared([g])
    return total


def _with_ones(forward_pass: ForwardPass, layer: Dense) -> Array:
    """Return the layer's inputs, with a column of ones if it has a bias."""
    x, xp = layer.x, forward_pass.xp
    if layer.bias not in layer.parameters():
        return x
    ones = xp.ones((*x.shape[:-1], 1), x.dtype)
    return xp.concatenate([x, ones], -1)


def _grouped(rows: Array, groups: int) -> Array:
    """Return [R, rows, ...] as [R, groups, rows of a group, ...]."""
    return rows.reshape(len(rows), groups, -1, rows.shape[-1])
