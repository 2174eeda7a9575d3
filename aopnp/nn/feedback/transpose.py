"""Back-propagation: `dX = G W^T`, the transport of the weights that all other feedback does without."""

from dataclasses import dataclass

from aopnp.nn.feedback.feedback import Feedback


@dataclass(frozen=True)
class Transpose(Feedback):
    """The weights themselves."""

    keeps = False
