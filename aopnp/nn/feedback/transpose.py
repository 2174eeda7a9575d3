"""Back-propagation: `dX = G W^T`. All other feedback does without this transport of the weights."""

from dataclasses import dataclass

from aopnp.nn.feedback.feedback import Feedback


@dataclass(frozen=True)
class Transpose(Feedback):
    """The weights themselves."""

    keeps = False
