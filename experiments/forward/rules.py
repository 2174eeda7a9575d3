"""What fills the gradients: back-propagation, or forward gradients along the directions of a strategy."""

import math
from collections.abc import Iterable

import numpy as np

from aopnp import Streams
from aopnp.nn import Layer
from aopnp.training import Rule, backprop
from aopnp.training.directions import DIRECTIONS
from aopnp.training.rules import ForwardGradient

BACKPROP = "backprop"
STRATEGIES = (BACKPROP, *DIRECTIONS)
NUMBERS = {
    "gaussian": "S0", "rademacher": "S2", "sign": "S3", "shared": "S4", "row_space": "S5", "activity": "S6",
    "anchor": "S7", "aligned": "S8",
}  # fmt: skip
"""Strategy -> its number in the list of cheaper strategies. S1, to draw directions anew from their key in the place of
storing them, is how all of them are drawn."""


def learning_rule(strategy: str, num_dir: int | None, clip: float | None) -> Rule:
    """Return the rule of a strategy; `num_dir` and `clip` are those of a forward gradient."""
    if strategy == BACKPROP:
        return backprop
    assert num_dir is not None
    return ForwardGradient(DIRECTIONS[strategy](), num_dir, clip)


def check_room(network: Layer, num_dir: int, strategies: Iterable[str]) -> None:
    """Raise ValueError where the network has too few parameters for so many directions of one of `strategies`."""
    drawn = [DIRECTIONS[name]() for name in strategies if name != BACKPROP]
    if any(each.drawn_together for each in drawn):
        network.initialise(Streams(), np.float32)
        n = sum(math.prod(parameter.shape[1:]) for parameter in network.parameters())
        for each in drawn:
            each.check_room(n, num_dir)
