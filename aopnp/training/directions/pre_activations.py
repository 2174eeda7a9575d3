"""The pre-activations of a network: which layers have them, and whether samples share them."""

from aopnp.nn import BatchNorm, Dense
from aopnp.nn.layer import Parameter
from aopnp.training.directions.strategy import ForwardPass


def dense_layers(forward_pass: ForwardPass) -> list[Dense]:
    """Return the layers whose pre-activations are moved."""
    return [layer for layer in forward_pass.network.walk() if isinstance(layer, Dense)]


def others(forward_pass: ForwardPass) -> list[Parameter]:
    """Return the parameters that belong to no dense layer."""
    own = {
        id(parameter) for layer in dense_layers(forward_pass) for parameter in layer.parameters()
    }
    return [parameter for parameter in forward_pass.parameters if id(parameter) not in own]


def interact(forward_pass: ForwardPass) -> bool:
    """Return whether a sample's activations move the losses of others."""
    return any(
        isinstance(layer, BatchNorm) and layer.of_batch for layer in forward_pass.network.walk()
    )
