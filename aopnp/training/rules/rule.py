"""What a rule is: it fills the gradients of the whole network for one batch."""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.arrays.streams import Streams
from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer


class Rule:
    """`rule(network, loss, x, target, step)` leaves a gradient in every parameter of the network."""

    def begin(self, network: Layer, streams: Streams) -> None:
        """Get ready to train the initialised `network` with the random numbers of `streams`; `fit` calls this first."""

    def __call__(
        self, network: Layer, loss: Loss, x: Array, target: Array, step: Step
    ) -> tuple[Array, Array]:
        """Return (loss [R], outputs [R, M, P]) of the batch x [R or 1, M, N], with every `parameter.grad` filled."""
        raise NotImplementedError

    def observations(self) -> dict[str, Array]:
        """Return, and reset, what was measured since the last call: name -> mean [R]."""
        return {}

    def spent(self) -> dict[str, Array]:
        """Return, and reset, what it has cost beside the layers: name -> total, float64 [R]."""
        return {}

    @property
    def state_kind(self) -> str:
        """What the state is that this rule keeps from step to step; empty where it keeps none."""
        return ""

    def saved(self) -> Any:
        """Return what must be saved beside network and optimiser: what a layer's `saved` may return, or None."""
        return None

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""
