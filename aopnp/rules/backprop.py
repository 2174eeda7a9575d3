"""Back-propagation: forward, loss, backward."""

from aopnp.backend import Array
from aopnp.layer import Layer, Step
from aopnp.nn import Loss


def backprop(network: Layer, loss: Loss, x: Array, target: Array, step: Step) -> tuple[Array, Array]:
    """Fill the gradients of `network` for one batch x [R or 1, M, N]; return (loss [R], outputs [R, M, P])."""
    y = network.forward(x, step)
    value = loss.forward(y, target)
    network.backward(loss.backward(), step, needs_input=False)
    return value, y
