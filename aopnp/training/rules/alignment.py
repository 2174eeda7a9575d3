"""Measure how well the feedback points: the angle between the injected and the true gradient at every hook."""

from dataclasses import dataclass, replace

from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer


@dataclass(frozen=True)
class MeasureAlignment:
    """At every `every`-th step a second, probing backward pass leaves the true gradient at the hooks.

    The backward pass that follows measures; the history then has `alignment_angle/<layer>` in degrees. Nothing else
    changes, and the probing pass, which a real training would not make, is not counted. An epoch without a
    measurement has no entry: `every` is best a divisor of an epoch's steps.
    """

    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"expected every >= 1 steps between measurements, got {self.every}")

    def __call__(self, network: Layer, loss: Loss, step: Step) -> None:
        """Carry the true gradient down."""
        if step.index % self.every == 0:
            network.backward(loss.backward(), replace(step, probing=True), needs_input=False)
