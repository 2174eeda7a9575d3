"""What a pass through the network is told beside the data: the step it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from aopnp.arrays.backend import Array


class Teacher(Protocol):
    """What direct feedback reads: the loss that the forward pass has just been given to."""

    def backward(self) -> Array:
        """Return dloss/dy [R, M, P]."""
        ...

    def target_part(self) -> Array:
        """Return the part of -dloss/dy that does not depend on y [R or 1, M, P]."""
        ...


@dataclass(frozen=True)
class Step:
    """What a pass through the network needs beside the data."""

    index: int = 0
    """Number of the training step, counted from 0 over all epochs."""
    lr: Array = field(default_factory=lambda: np.ones(1))
    """Step size of every replica [R] (or [1] for all), on the host."""
    noise: Mapping[Any, Array] = field(default_factory=dict)
    """Selection noise of the layers that want some: Gumbel variates [R or 1, slots]."""
    training: bool = False
    epoch: int = 1
    """Number of the epoch, counted from 1, as in a History."""
    teacher: Teacher | None = None
    """The loss of this batch; only a backward pass has one."""
    feedback_lr: Array | None = None
    """Step size of parameters of the feedback path [R or 1], on the host; None: `lr`."""
    probing: bool = False
    """Whether this backward pass only carries the true gradient down: W^T in every layer, no direct feedback, nothing
    estimated, learned or counted."""


EVALUATION = Step()
"""The step of a pass that trains nothing."""
