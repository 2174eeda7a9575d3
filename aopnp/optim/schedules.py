"""Step-size schedules: a factor in front of the learning rate, as a function of the training step."""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]
"""Training step, counted from 0 -> factor."""


@dataclass(frozen=True)
class StepDecay:
    """`factor ** (step // every)`: times `factor` after each `every` steps."""

    every: int
    factor: float = 0.1

    def __call__(self, step: int) -> float:
        """Return the factor at `step`."""
        return self.factor ** (step // self.every)


@dataclass(frozen=True)
class MultiStep:
    """`factor ** (number of milestones reached)`: times `factor` from each of `milestones` on, steps in rising order.

    A drop after epoch e of S steps each is the milestone e S. Raises ValueError for milestones in another order.
    """

    milestones: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        if list(self.milestones) != sorted(set(self.milestones)) or (
            self.milestones and self.milestones[0] < 0
        ):
            raise ValueError(
                f"expected milestones >= 0 in rising order, got {self.milestones}; sort them"
            )

    def __call__(self, step: int) -> float:
        """Return the factor at `step`."""
        return self.factor ** bisect_right(self.milestones, step)


@dataclass(frozen=True)
class Cosine:
    """`(1 + cos(pi step / total)) / 2`: from 1 towards 0, positive before `total` (Loshchilov and Hutter 2017)."""

    total: int

    def __call__(self, step: int) -> float:
        """Return the factor at `step`."""
        return (1 + math.cos(math.pi * min(step, self.total) / self.total)) / 2


@dataclass(frozen=True)
class WarmUp:
    """`(step + 1) / steps` for the first `steps`, then the factor of `after` (Goyal et al. 2017).

    `after` counts the steps since the warm-up; None: 1.
    """

    steps: int
    after: Schedule | None = None

    def __call__(self, step: int) -> float:
        """Return the factor at `step`."""
        if step < self.steps:
            return (step + 1) / self.steps
        if self.after is None:
            return 1.0
        return self.after(step - self.steps)
