"""Gradient checks by inner products: the backward pass and the tangent pass of a layer or a loss.

    <backward(g), u> + sum over parameters of <grad, tangent> = <g, tangent(u)>        (adjoint)
    tangent(u) = derivative of forward along u                              (central differences)

The first line is an identity, to rounding. Together with the second it makes `backward` the
gradient of `forward`.
"""

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.estimators.outer_products import dense
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer


def adjoint(
    layer: Layer, x: Array, g: Array, u: Array, step: Step, tolerance: float = 1e-12
) -> None:
    """Assert the adjoint identity of `layer` at x for g [R, M, P] and u [R, M, N].

    The tangents of the parameters must be set before.
    """
    layer.forward(x, step)
    back = layer.backward(g, step)
    assert back is not None
    left = [back * u]
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.tangent is not None
        left.append(dense(parameter.grad) * parameter.tangent)
    right = g * layer.tangent(u)
    left_size = sum(np.abs(term).sum() for term in left)
    scale = left_size + np.abs(right).sum()
    off = abs(sum(term.sum() for term in left) - right.sum())
    assert off <= tolerance * scale, (
        f"<backward(g), u> and <g, tangent(u)> differ by {off} at scale {scale}"
    )


def tangent_is_derivative(
    layer: Layer,
    x: Array,
    u: Array,
    h: float = 1e-6,
    tolerance: float = 1e-7,
    step: Step = EVALUATION,
) -> None:
    """Assert that `tangent(u)` is the central difference of `forward`.

    The difference is taken along u and along the tangents of the parameters.
    """
    layer.forward(x, step)
    tangent = layer.tangent(u)
    start = [parameter.value.copy() for parameter in layer.parameters()]

    def moved(t: float) -> Array:
        """Return the output after a move by t; the parameters stay moved."""
        for parameter, value in zip(layer.parameters(), start, strict=True):
            assert parameter.tangent is not None
            parameter.value[...] = value + t * parameter.tangent
        return layer.forward(x + t * u, step)

    difference = (moved(h) - moved(-h)) / (2 * h)
    moved(0.0)
    _assert_close(tangent, difference, tolerance)


def loss_gradient(
    loss: Loss, y: Array, target: Array, u: Array, h: float = 1e-6, tolerance: float = 1e-7
) -> None:
    """Assert that `backward` and `tangent` of a loss agree along u, with each other and the loss.

    The derivative of the loss itself is taken by a central difference.
    """
    ahead = loss.forward(y + h * u, target)
    behind = loss.forward(y - h * u, target)
    difference = (ahead - behind) / (2 * h)
    loss.forward(y, target)
    tangent = loss.tangent(u)
    by_backward = (loss.backward() * u).sum((-2, -1))
    np.testing.assert_allclose(tangent, by_backward, rtol=1e-12, atol=1e-12)
    _assert_close(tangent, difference, tolerance)


def _assert_close(tangent: Array, difference: Array, tolerance: float) -> None:
    """Assert equality up to the tolerance, relative and on the scale of the largest entry."""
    scale = 1 + np.abs(difference).max()
    np.testing.assert_allclose(tangent, difference, rtol=tolerance, atol=tolerance * scale)
