"""Feedback alignment: a random matrix in the place of W^T, to which the weights align themselves.

dX = G B                       B is fixed, and drawn as W^T is     (Lillicrap et al. 2016)
dX = G (sign(W)^T |B|)         B has the signs of W^T              (Liao, Leibo and Poggio 2016)
"""

from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module
from aopnp.nn.feedback.feedback import Feedback


@dataclass(frozen=True)
class RandomFeedback(Feedback):
    """A matrix that never changes."""


@dataclass(frozen=True)
class SignSymmetric(Feedback):
    """Random sizes with the signs of the weights; sign(0) is 0."""

    def matrix(self, w: Array, b: Array) -> Array:
        xp = array_module(w, b)
        return xp.sign(w) * xp.abs(b)
