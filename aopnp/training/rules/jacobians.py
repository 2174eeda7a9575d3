"""Forward tangents for FDFA: perturb all its hooks at once, and tell each what became of it at the outputs."""

from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.feedback import FDFA
from aopnp.nn.layer import Layer


def learn_jacobians(network: Layer, loss: Loss, step: Step) -> None:
    """Send one joint tangent through `network` (Bacho and Chu 2024); its FDFA layers learn from it in the backward."""
    hooks = [layer for layer in network.walk() if isinstance(layer, FDFA)]
    for hook in hooks:
        hook.perturb(step)
    moved = network.tangent(None)
    for hook in hooks:
        hook.output_tangent = moved
