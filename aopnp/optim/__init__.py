"""Optimisers and step-size schedules. A new one is one file (or one class beside its kin) and one line here."""

from aopnp.optim.adam import Adam, Moments
from aopnp.optim.bop import Bop
from aopnp.optim.critical import AGGREGATIONS, Critical, CriticalGradients
from aopnp.optim.error_feedback import ErrorFeedback, Unapplied
from aopnp.optim.gradient_transformation import Around
from aopnp.optim.optimiser import Optimiser
from aopnp.optim.parameter_groups import Apart
from aopnp.optim.schedules import Cosine, MultiStep, Schedule, StepDecay, WarmUp, constant
from aopnp.optim.sgd import SGD
from aopnp.optim.soft_weight_update import Displace

__all__ = [
    "AGGREGATIONS",
    "SGD",
    "Adam",
    "Apart",
    "Around",
    "Bop",
    "Cosine",
    "Critical",
    "CriticalGradients",
    "Displace",
    "ErrorFeedback",
    "Moments",
    "MultiStep",
    "Optimiser",
    "Schedule",
    "StepDecay",
    "Unapplied",
    "WarmUp",
    "constant",
]
