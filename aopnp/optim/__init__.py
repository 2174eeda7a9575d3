"""Optimisers and step-size schedules.

A new one is one file and one line here.
"""

from aopnp.optim.adam import Adam, Moments
from aopnp.optim.bop import Bop
from aopnp.optim.critical import AGGREGATIONS, Critical, CriticalGradients
from aopnp.optim.error_feedback import ErrorFeedback, Unapplied
from aopnp.optim.gradient_transformation import GradientTransformation
from aopnp.optim.optimiser import Optimiser
from aopnp.optim.parameter_groups import ParameterGroups
from aopnp.optim.schedules import Cosine, MultiStep, Schedule, StepDecay, WarmUp
from aopnp.optim.sgd import SGD
from aopnp.optim.soft_weight_update import SoftWeightUpdate

__all__ = [
    "AGGREGATIONS",
    "SGD",
    "Adam",
    "Bop",
    "Cosine",
    "Critical",
    "CriticalGradients",
    "ErrorFeedback",
    "GradientTransformation",
    "Moments",
    "MultiStep",
    "Optimiser",
    "ParameterGroups",
    "Schedule",
    "SoftWeightUpdate",
    "StepDecay",
    "Unapplied",
    "WarmUp",
]
