"""The residual connection (He et al. 2016): `y = shortcut(x) + layers(x)`, the shortcut being x itself unless given.

backward  dx = shortcut.backward(g) + layers.backward(g)      tangent  shortcut.tangent(u) + layers.tangent(u)
"""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.layer import Chain, Layer


class Residual(Chain):
    """`shortcut(x) + layers(x)`; a shortcut maps x to the shape of the output where the layers change it."""

    def __init__(self, *layers: Layer, shortcut: Layer | None = None) -> None:
        # Both branches in one chain: walk, parameters and initialise are a Chain's.
        super().__init__(Chain(*layers), *([] if shortcut is None else [shortcut]))

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        through, *shortcut = [branch.forward(x, step) for branch in self.layers]
        beside = shortcut[0] if shortcut else x
        if beside.shape[1:] != through.shape[1:]:
            raise ValueError(
                f"expected both branches of a Residual to give one shape, got {through.shape} from the layers and "
                f"{beside.shape} beside them; give a shortcut layer that maps the input to the layers' output"
            )
        return beside + through

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        through, *shortcut = [
            branch.backward(g, step, needs_input=needs_input) for branch in self.layers
        ]
        if not needs_input:
            return None
        beside = shortcut[0] if shortcut else g
        assert beside is not None
        assert through is not None
        return beside + through

    @property
    def uses_upstream_gradient(self) -> bool:
        if len(self.layers) == 1:  # the shortcut is x itself
            return True
        return any(branch.uses_upstream_gradient for branch in self.layers)

    def segments(self) -> list[Chain]:
        """Return this block alone: its branches lie side by side, not one after the other."""
        return [self]

    def tangent(self, u: Any) -> Array:
        moved: list[Any] = [
            branch.tangent(u) for branch in self.layers if u is not None or branch.perturbed()
        ]
        if u is not None and len(self.layers) == 1:
            moved.append(u)
        return sum(moved[1:], start=moved[0])
