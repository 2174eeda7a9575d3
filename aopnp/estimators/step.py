"""The training step that a pass through the network belongs to: number, size, noise and loss."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aopnp.arrays.backend import Array


class OutputLoss(Protocol):
    """The part of a loss that direct feedback reads, after the loss has seen the outputs."""

    def backward(self) -> Array:
        """Return dloss/dy [R, M, P]."""
        ...

    def target_part(self) -> Array:
        """Return the part of -dloss/dy that does not depend on y [R or 1, M, P]."""
        ...


@dataclass(frozen=True)
class Step:
    """The facts about a pass through the network that are not in its data."""

    index: int = 0
    """Number of the training step, counted from 0 over all epochs."""
    lr: Array | None = None
    """Step size of every replica [R] (or [1] for all), on the host.

    None: the optimiser uses its step size `lr`, and memories see a constant step size.
    """
    noise: Mapping[Any, Array] = field(default_factory=dict)
    """Selection noise of each product that draws: Gumbel variates [R or 1, slots].

    A layer may be the key, too: then the noise of its products lies one after another, in the order
    of `Layer.products`.
    """
    training: bool = False
    epoch: int = 1
    """Number of the epoch, counted from 1, as in a History."""
    loss: OutputLoss | None = None
    """The loss, which has seen the batch when the backward pass begins; None in evaluation."""
    group_lr: Mapping[str, Array] = field(default_factory=dict)
    """Step sizes of the parameter groups that do not use `lr`: group -> [R or 1]."""

    def lr_of(self, group: str) -> Array | None:
        """Return the step size of the parameters of a group [R or 1]."""
        return self.group_lr.get(group, self.lr)


EVALUATION = Step()
"""The step of a pass that trains nothing."""
