"""The optimisers of the forward-gradient experiments; their step sizes fall by a factor after every epoch."""

from collections.abc import Callable

from aopnp import SGD, Adam
from aopnp.optim import Critical, ErrorFeedback, Optimiser, StepDecay

OPTIMISERS: dict[str, Callable[[float, StepDecay], Optimiser]] = {
    "sgd": lambda lr, decay: SGD(lr, schedule=decay),
    "adam": lambda lr, decay: Adam(lr, schedule=decay),
    "critical": lambda lr, decay: Critical(SGD(lr, schedule=decay)),
    "error-feedback": lambda lr, decay: ErrorFeedback(SGD(lr, schedule=decay), share=0.1),
}
"""Name -> optimiser of a step size and a schedule. Critical: the ten largest past gradients go on pushing. Error
feedback: a tenth of each tensor's entries is applied, the others wait."""
