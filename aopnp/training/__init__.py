"""The training of a network: the loop, the rules that fill the gradients, checkpoints."""

from aopnp.training.checkpoint import load, save
from aopnp.training.evaluation import evaluate
from aopnp.training.history import Divergence, History
from aopnp.training.loop import fit
from aopnp.training.memory_footprint import Bytes, bytes_held
from aopnp.training.rules import (
    Backprop,
    ForwardGradient,
    MeasureAlignment,
    Rule,
    Unlocked,
    backprop,
    learn_jacobians,
)
from aopnp.training.selection_noise import epoch_noise

__all__ = [
    "Backprop",
    "Bytes",
    "Divergence",
    "ForwardGradient",
    "History",
    "MeasureAlignment",
    "Rule",
    "Unlocked",
    "backprop",
    "bytes_held",
    "epoch_noise",
    "evaluate",
    "fit",
    "learn_jacobians",
    "load",
    "save",
]
