"""Weight mirror: feedback that learns from noise sent through the layer alone (Akrout et al. 2019).

    x ~ N(0, I) [M, N]      y = x W      B <- (1 - decay) B + rate y^T x / M

The mirror uses neither data nor the bias. On average y^T x / M is W^T. B therefore tends to
(rate / decay) W^T: the sizes differ, the directions agree.
"""

from dataclasses import dataclass

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step
from aopnp.nn.feedback.feedback import Feedback, Normal


@dataclass(frozen=True)
class WeightMirror(Feedback):
    """B moves at every `every`-th training step, by M = `rows` rows of noise.

    Where decay = rate, B tends to W^T.
    """

    rate: float = 0.01
    decay: float = 0.01
    rows: int = 64
    every: int = 1

    advances = True

    def __post_init__(self) -> None:
        rates_fit = 0 < self.rate < np.inf and 0 < self.decay < 1
        counts_fit = self.rows >= 1 and self.every >= 1
        if not (rates_fit and counts_fit):
            raise ValueError(
                "expected a finite rate > 0, decay above 0 and below 1, rows and every of at least "
                f"1, got {self}; without decay the matrix would grow without limit"
            )

    def advance(self, w: Array, b: Array, normal: Normal, step: Step) -> int:
        if step.index % self.every:
            return 0
        M, N = self.rows, w.shape[-2]
        x = normal(M * N).astype(w.dtype).reshape(-1, M, N)
        b *= 1 - self.decay
        b += (self.rate / M) * (x.swapaxes(-1, -2) @ (x @ w))
        return 4 * M * N * w.shape[-1]
