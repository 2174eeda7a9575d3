"""Forward tangents for FDFA: one joint tangent from all FDFA layers to the outputs."""

from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.feedback import FDFA
from aopnp.nn.layer import Layer


def learn_jacobians(network: Layer, loss: Loss, step: Step) -> None:
    """Send one joint tangent through `network`, after its forward pass (Bacho and Chu 2024).

    Every FDFA layer draws a perturbation of its activations, all are propagated together, and
    every FDFA layer receives the tangent of the outputs. In the backward pass it learns from both.
    """
    hooks = [layer for layer in network.walk() if isinstance(layer, FDFA)]
    for hook in hooks:
        hook.perturb(step)
    output_tangent = network.tangent(None)
    for hook in hooks:
        hook.output_tangent = output_tangent
