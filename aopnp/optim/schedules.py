"""Step-size schedules: factors of the learning rate, as functions of the training step."""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]
"""Training step, counted from 0 -> factor."""


@dataclass(frozen=True)
class StepDecay:
    """`factor ** (step // every)`: a drop by `factor` after every `every` steps."""

    every: int
    factor: float = 0.1

    def __call__(self, step: int) -> float:
        """Return the factor at `step`."""
        return self.factor ** (step // self.every)


@dataclass(frozen=True)
class MultiStep:
    """`factor ** (number of milestones reached)`.

    `milestones` are training steps in rising order; from each of them on, the step size is
    multiplied by `factor` once more. A drop after epoch e, with S steps in an epoch, is the
    milestone e S. Raises ValueError for milestones in another order.
    """

    milestones: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        rising = list(self.milestones) == sorted(set(self.milestones))
        if not rising or min(self.milestones, default=0) < 0:
            raise ValueError(
                f"expected milestones >= 0 in rising order, got {self.milestones}; sort them"
            )

    def __call__(self, step: int) -> float:
        """Return the factor at `step`."""
        return self.factor ** bisect_right(self.milestones, step)


@dataclass(frozen=True)
class Cosine:
    """`(1 + cos(pi step / total)) / 2`: from 1 towards 0, positive before step `total`.

    (Loshchilov and Hutter 2017.)
    """

    total: int

    def __call__(self, step: int) -> float:
        """Return the factor at `step`."""
        done = min(step, self.total)
        return (1 + math.cos(math.pi * done / self.total)) / 2


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
