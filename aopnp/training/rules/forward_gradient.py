"""Forward gradients: derivatives along directions in the place of a backward pass.

    d_j = <g, v_j>, one forward sweep of tangents each
    gradient = (1/m) sum over j of clip(d_j) v_j

(Baydin et al. 2022, arXiv 2202.08587.) A step costs 1 + 2 m forward passes, where back-propagation
costs 3; in the first layer it costs 1 + m, where back-propagation costs 2. No activations have to
be stored for a backward pass. Clipping makes the estimate biased, but it is needed: the variance
grows with the number of parameters.
"""

import math
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.arrays.streams import Streams
from aopnp.estimators.step import Step
from aopnp.nn import Dense, Loss
from aopnp.nn.layer import Layer, Parameter
from aopnp.training.directions import (
    DIRECTIONS,
    ForwardPass,
    Rademacher,
    Strategy,
    estimate_gradient,
)
from aopnp.training.rules.rule import Rule


class ForwardGradient(Rule):
    """`num_dir` directions in a step, drawn by the strategy `directions`.

    Unless `clip` is None, derivatives d are cut to -clip ... clip, and the history has
    `clipped_share`, the share of the derivatives that were cut. `at_once` directions run side by
    side; None means one on the CPU, and on a device as many as fit into 256 MB.
    """

    def __init__(
        self,
        directions: Strategy = Rademacher(),  # noqa: B008 - frozen
        num_dir: int = 1,
        clip: float | None = 1.0,
        *,
        at_once: int | None = None,
    ) -> None:
        if not isinstance(directions, Strategy):
            raise TypeError(
                f"expected directions among {', '.join(DIRECTIONS)}, got {directions!r}; write "
                "ForwardGradient(DIRECTIONS['gaussian']())"
            )
        if not isinstance(num_dir, int) or num_dir < 1 or (at_once is not None and at_once < 1):
            raise ValueError(
                f"expected at least one direction, got num_dir = {num_dir} and at_once = {at_once}"
            )
        if clip is not None and not clip > 0:
            raise ValueError(f"expected a clip > 0 for the derivatives, or None, got {clip}")
        self.directions, self.num_dir = directions, num_dir
        self.clip, self.at_once = clip, at_once
        self.state: Any = None
        self._trained: list[Parameter] | None = None
        self._streams: Streams | None = None
        self._clipped: list[Array] = []

    def begin(self, network: Layer, streams: Streams) -> None:
        """Take the streams from which directions are drawn.

        A network that has been initialised anew begins without a state. Raises ValueError for a
        network with feedback that is learned, and for one too small for so many directions.
        """
        parameters = network.parameters()
        if _learns_feedback(network):
            raise ValueError(
                "expected a network without feedback that is learned, got one: forward gradients "
                "have no backward pass, and the loss does not depend on the feedback; leave it out"
            )
        n = sum(math.prod(parameter.shape[1:]) for parameter in parameters)
        self.directions.check_room(n, self.num_dir)
        if self._trained not in (None, parameters):
            self.state = None
        self._trained, self._streams = parameters, streams

    def __call__(
        self, network: Layer, loss: Loss, x: Array, target: Array, step: Step
    ) -> tuple[Array, Array]:
        if self._streams is None:
            raise ValueError(
                "expected a rule that has begun, got none: call begin(network, streams) first, "
                "as fit does"
            )
        y = network.forward(x, step)
        value = loss.forward(y, target)
        forward_pass = ForwardPass(network, loss, step, self._streams, self.num_dir)
        self.state, clipped = estimate_gradient(
            self.directions, forward_pass, self.state, clip=self.clip, at_once=self.at_once
        )
        if self.clip is not None:
            self._clipped.append(clipped)
        return value, y

    def observations(self) -> dict[str, Array]:
        shares, self._clipped = self._clipped, []
        if not shares:
            return {}
        total = sum(shares[1:], start=shares[0])
        return {"clipped_share": total / len(shares)}

    @property
    def state_kind(self) -> str:
        return f"{self.directions} with {self.num_dir} directions"

    def empty_state(self, network: Layer, streams: Streams) -> Any:
        forward_pass = ForwardPass(network, Loss(), Step(), streams, self.num_dir)
        return self.directions.empty_state(forward_pass)

    def saved(self) -> Any:
        return self.state

    def restore(self, saved: Any) -> None:
        self.state, self._trained = saved, None


def _learns_feedback(network: Layer) -> bool:
    if any(parameter.group == "feedback" for parameter in network.parameters()):
        return True
    return any(isinstance(layer, Dense) and layer.feedback.trained for layer in network.walk())
