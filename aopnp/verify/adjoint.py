"""Gradients by inner products: every layer and every loss answers for its backward and its tangent pass.

    <backward(g), u> + sum over parameters of <grad, tangent> = <g, tangent(u)>        (adjoint)
    tangent(u) = derivative of forward along u                                        (central differences)

The first is an identity, to rounding; with the second it makes `backward` the gradient of `forward`.
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
    """Assert the adjoint identity of `layer` at x for g [R, M, P], u [R, M, N] and parameter tangents set before."""
    layer.forward(x, step)
    back = layer.backward(g, step)
    assert back is not None
    left = [back * u]
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.tangent is not None
        left.append(dense(parameter.grad) * parameter.tangent)
    right = g * layer.tangent(u)
    scale = sum(np.abs(term).sum() for term in left) + np.abs(right).sum()
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
    """Assert that `tangent(u)` is the central difference of `forward` along u and the parameters' tangents."""
    layer.forward(x, step)
    tangent = layer.tangent(u)
    start = [parameter.value.copy() for parameter in layer.parameters()]

    def moved(t: float) -> Array:
        for parameter, value in zip(layer.parameters(), start, strict=True):
            assert parameter.tangent is not None
            parameter.value[...] = value + t * parameter.tangent
        return layer.forward(x + t * u, step)

    difference = (moved(h) - moved(-h)) / (2 * h)
    moved(0.0)
    np.testing.assert_allclose(
        tangent, difference, rtol=tolerance, atol=tolerance * (1 + np.abs(difference).max())
    )


def loss_gradient(
    loss: Loss, y: Array, target: Array, u: Array, h: float = 1e-6, tolerance: float = 1e-7
) -> None:
    """Assert that `backward` and `tangent` of a loss agree with each other and with its central difference along u."""
    difference = (loss.forward(y + h * u, target) - loss.forward(y - h * u, target)) / (2 * h)
    loss.forward(y, target)
    tangent = loss.tangent(u)
    np.testing.assert_allclose(tangent, (loss.backward() * u).sum((-2, -1)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        tangent, difference, rtol=tolerance, atol=tolerance * (1 + np.abs(difference).max())
    )
