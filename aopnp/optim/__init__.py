"""Optimisers and step-size schedules. A new one is one file (or one class beside its kin) and one line here."""

from aopnp.optim.adam import Adam, Moments
from aopnp.optim.apart import Apart
from aopnp.optim.optimiser import Optimiser
from aopnp.optim.schedules import Cosine, MultiStep, Schedule, StepDecay, WarmUp, constant
from aopnp.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "Apart",
    "Cosine",
    "Moments",
    "MultiStep",
    "Optimiser",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "constant",
]
