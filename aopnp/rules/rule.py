"""What a rule is: it fills the gradients of the whole network for one batch."""

from aopnp.backend import Array
from aopnp.layer import Layer, Step
from aopnp.nn import Loss


class Rule:
    """`rule(network, loss, x, target, step)` leaves a gradient in every parameter of the network."""

    def __call__(self, network: Layer, loss: Loss, x: Array, target: Array, step: Step) -> tuple[Array, Array]:
        """Return (loss [R], outputs [R, M, P]) of the batch x [R or 1, M, N], with every `parameter.grad` filled."""
        raise NotImplementedError

    def observations(self) -> dict[str, Array]:
        """Return, and reset, what was measured since the last call: name -> mean [R]."""
        return {}

    def spent(self) -> dict[str, Array]:
        """Return, and reset, what it has cost beside the layers: name -> total, float64 [R]."""
        return {}
