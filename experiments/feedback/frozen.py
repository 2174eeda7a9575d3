"""Layers that stay as they were initialised, below layers that learn from their random features."""

from aopnp import Chain
from aopnp.nn import Parameter


class Frozen(Chain):
    """A chain that shows no parameters: nothing in it is trained, and nothing carried back to it.

    What is no parameter moves on: batch normalisation follows the mean and variance of what it sees.
    """

    def parameters(self) -> list[Parameter]:
        return []
