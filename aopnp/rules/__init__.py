"""Rules: who fills the gradients of the whole network."""

from aopnp.rules.alignment import MeasureAlignment
from aopnp.rules.backprop import Backprop, Between, backprop
from aopnp.rules.forward_gradient import ForwardGradient
from aopnp.rules.jacobians import learn_jacobians
from aopnp.rules.rule import Rule
from aopnp.rules.unlocked import Unlocked

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
