"""Optimisers and step-size schedules."""

from aopnp.optim.schedules import Cosine, Schedule, StepDecay, WarmUp, constant
from aopnp.optim.sgd import SGD

__all__ = ["SGD", "Cosine", "Schedule", "StepDecay", "WarmUp", "constant"]
