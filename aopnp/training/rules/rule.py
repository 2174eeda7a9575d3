"""The interface of a rule, which fills the gradients of the whole network for one batch."""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.arrays.streams import Streams
from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer


class Rule:
    """`rule(network, loss, x, target, step)` fills the gradient of every parameter."""

    def begin(self, network: Layer, streams: Streams) -> None:
        """Prepare to train the initialised `network` with the random numbers of `streams`.

        `fit` calls this before the first step.
        """

    def __call__(
        self, network: Layer, loss: Loss, x: Array, target: Array, step: Step
    ) -> tuple[Array, Array]:
        """Fill every `parameter.grad`; return the loss [R] and the outputs [R, M, P].

        The batch is x [R or 1, M, N] with its target.
        """
        raise NotImplementedError

    def observations(self) -> dict[str, Array]:
        """Return, and reset, the measurements since the last call: name -> mean [R]."""
        return {}

    def spent(self) -> dict[str, Array]:
        """Return, and reset, the costs beyond those of the layers: name -> total, float64 [R]."""
        return {}

    @property
    def state_kind(self) -> str:
        """The kind of state that it keeps: only a rule of the same kind can go on with it.

        Empty for a rule that keeps no state.
        """
        return ""

    def empty_state(self, network: Layer, streams: Streams) -> Any:
        """Return a state of zeros with the structure of the states that it keeps of `network`.

        A state is compared with it before it is loaded. None: there is no state, or none is known.
        """
        return None

    def saved(self) -> Any:
        """Return the state that must be saved with the network; None if there is none.

        It consists of arrays, numbers, dataclasses, dicts and lists, like that of a layer.
        """
        return None

    def restore(self, saved: Any) -> None:
        """Take over the state that `saved` returned."""
