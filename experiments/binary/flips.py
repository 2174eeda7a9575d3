"""Count how many binary weights flip."""

from typing import Any

from aopnp import Streams
from aopnp.arrays.backend import Array
from aopnp.estimators import Step
from aopnp.nn import Layer, Loss
from aopnp.nn.soft_weights import SoftWeight
from aopnp.training import Rule


class CountFlips(Rule):
    """`inner` fills the gradients; the history has `flips`, how often a weight flipped in an epoch on average.

    A step sees the flips of the one before: those of the last step of an epoch count in the next.
    """

    def __init__(self, inner: Rule) -> None:
        self.inner = inner
        self._before: list[Array] = []
        self._flips: list[Array] = []

    def begin(self, network: Layer, streams: Streams) -> None:
        self._before, self._flips = [], []
        self.inner.begin(network, streams)

    def __call__(
        self, network: Layer, loss: Loss, x: Array, target: Array, step: Step
    ) -> tuple[Array, Array]:
        now = [each.numbers() for each in network.parameters() if isinstance(each, SoftWeight)]
        weights = sum(w[0].size for w in now)
        if self._before:
            flips: Any = sum(
                (w != before).sum((-2, -1)) for w, before in zip(now, self._before, strict=True)
            )
            self._flips.append(flips / weights)
        self._before = now
        return self.inner(network, loss, x, target, step)

    def observations(self) -> dict[str, Array]:
        flips, self._flips = self._flips, []
        return self.inner.observations() | (
            {"flips": sum(flips[1:], start=flips[0])} if flips else {}
        )

    def spent(self) -> dict[str, Array]:
        return self.inner.spent()

    @property
    def state_kind(self) -> str:
        return self.inner.state_kind

    def saved(self) -> Any:
        return self.inner.saved()

    def restore(self, saved: Any) -> None:
        self.inner.restore(saved)
