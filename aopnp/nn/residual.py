"""The residual connection: a block of layers and a shortcut around it (He et al. 2016).

forward   y = shortcut(x) + layers(x)
backward  dx = shortcut.backward(g) + layers.backward(g)
tangent   shortcut.tangent(u) + layers.tangent(u)

The shortcut is x itself unless another one is given.
"""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.chain import Chain
from aopnp.nn.layer import Layer


class Residual(Chain):
    """`shortcut(x) + layers(x)`.

    Where the layers change the shape, `shortcut` is a layer that maps x to the shape of their
    output.
    """

    def __init__(self, *layers: Layer, shortcut: Layer | None = None) -> None:
        # Both branches are the layers of one chain, so that this class inherits walk, parameters
        # and initialise from Chain.
        branches: list[Layer] = [Chain(*layers)]
        if shortcut is not None:
            branches.append(shortcut)
        super().__init__(*branches)

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        output = self.layers[0].forward(x, step)
        shortcut = x
        if len(self.layers) == 2:
            shortcut = self.layers[1].forward(x, step)
        if shortcut.shape[1:] != output.shape[1:]:
            raise ValueError(
                f"expected both branches of a Residual to give one shape, got {output.shape} from "
                f"the layers and {shortcut.shape} from the shortcut; give a shortcut layer that "
                "maps the input to the layers' output"
            )
        return shortcut + output

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        dx = self.layers[0].backward(g, step, needs_input=needs_input)
        shortcut: Array | None = g
        if len(self.layers) == 2:
            shortcut = self.layers[1].backward(g, step, needs_input=needs_input)
        if not needs_input:
            return None
        assert shortcut is not None
        assert dx is not None
        return shortcut + dx

    @property
    def uses_upstream_gradient(self) -> bool:
        if len(self.layers) == 1:  # the shortcut is x itself
            return True
        return any(branch.uses_upstream_gradient for branch in self.layers)

    def segments(self) -> list[Chain]:
        """Return this block alone: its branches lie side by side, not one after the other."""
        return [self]

    def tangent(self, u: Any) -> Array:
        moved: list[Any] = []
        for branch in self.layers:
            if u is not None or branch.perturbed():
                moved.append(branch.tangent(u))
        if u is not None and len(self.layers) == 1:
            moved.append(u)
        return sum(moved[1:], start=moved[0])
