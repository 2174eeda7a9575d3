"""The pre-activations of a network: the layers that have them, and whether samples share them."""

from aopnp.nn import BatchNorm, Dense
from aopnp.nn.layer import Parameter
from aopnp.training.directions.strategy import ForwardPass


def dense_layers(forward_pass: ForwardPass) -> list[Dense]:
    """Return the layers whose pre-activations are moved, convolutions included."""
    layers = forward_pass.network.walk()
    return [layer for layer in layers if isinstance(layer, Dense)]


def others(forward_pass: ForwardPass) -> list[Parameter]:
    """Return the parameters that belong to no dense layer."""
    layers = dense_layers(forward_pass)
    of_dense = {id(parameter) for layer in layers for parameter in layer.parameters()}
    return [parameter for parameter in forward_pass.parameters if id(parameter) not in of_dense]


def interact(forward_pass: ForwardPass) -> bool:
    """Return whether the activations of a sample move the losses of other samples."""
    layers = forward_pass.network.walk()
    return any(isinstance(layer, BatchNorm) and layer.of_batch for layer in layers)
