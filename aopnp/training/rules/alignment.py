"""The alignment angle: the angle between the injected and the true gradient at every hook."""

from dataclasses import dataclass

from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer


@dataclass(frozen=True)
class MeasureAlignment:
    """At every `every`-th step, first back-propagate exactly through a copy of the network.

    The copy leaves the true gradient at the hooks; the real backward pass, which follows, measures
    its angle with it. The history then has `alignment_angle/<layer>` in degrees. Nothing else
    changes, and the pass through the copy, which a real training would not make, is not counted.
    An epoch without a measurement has no entry, so `every` is best a divisor of the number of
    steps in an epoch.
    """

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"expected every >= 1 steps between measurements, got {self.every}")

    def __call__(self, network: Layer, loss: Loss, step: Step) -> None:
        """Leave the true gradient of this batch at the hooks."""
        if step.index % self.every == 0:
            network.exact_copy().backward(loss.backward(), step, needs_input=False)
