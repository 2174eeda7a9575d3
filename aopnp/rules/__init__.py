"""Rules: who fills the gradients of the whole network."""

from aopnp.rules.backprop import backprop

__all__ = ["backprop"]
