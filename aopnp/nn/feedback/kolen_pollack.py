"""Kolen-Pollack: feedback that learns by the same updates as the weights (Akrout et al. 2019).

    W <- (1 - lr wd) W - lr D        B <- (1 - lr wd) B - lr D^T
    =>      W - B^T <- (1 - lr wd) (W - B^T)

The feedback forgets where it began. D is the *same* estimate for both, that of Mem-AOP included.
The contraction is exact where one optimiser with decoupled weight decay moves both, such as
`SGD(..., decoupled=True)` or Adam. Without decay, W - B^T stays as it was drawn.
"""

from dataclasses import dataclass

from aopnp.nn.feedback.feedback import Feedback


@dataclass(frozen=True)
class KolenPollack(Feedback):
    """A parameter that is moved as the weights are."""

    trained = True
