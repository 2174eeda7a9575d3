"""Rules: the ways to fill the gradients of a whole network."""

from aopnp.training.rules.alignment import MeasureAlignment
from aopnp.training.rules.backprop import Backprop, Between, backprop
from aopnp.training.rules.forward_gradient import ForwardGradient
from aopnp.training.rules.jacobians import learn_jacobians
from aopnp.training.rules.rule import Rule
from aopnp.training.rules.unlocked import Unlocked

__all__ = [
    "Backprop",
    "Between",
    "ForwardGradient",
    "MeasureAlignment",
    "Rule",
    "Unlocked",
    "backprop",
    "learn_jacobians",
]
