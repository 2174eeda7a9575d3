"""What a strategy is: which directions v the tangents run along, and what d = <g, v> says of the gradient g.

    d_j = derivative of the loss along v_j, in one forward sweep        estimate = (1/m) sum over j of d_j v_j

(Baydin et al. 2022, arXiv 2202.08587.) All samples of a batch share v. Directions are pure functions of (seed, run,
step, parameter, number of the direction): they exist while their own tangent runs, and are drawn again from their key
wherever they are wanted again. Nothing of them is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, ClassVar, TypeAlias

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Streams
from aopnp.estimators.outer_products import dense
from aopnp.estimators.step import Step
from aopnp.nn import Loss
from aopnp.nn.layer import Layer, Parameter

Tangents: TypeAlias = list[Array]
"""One for every parameter [J, R or 1, ...]: J directions side by side."""


@dataclass(frozen=True)
class ForwardPass:
    """A training step whose forward pass and loss have just been run: what a strategy may look at."""

    network: Layer
    loss: Loss
    step: Step
    streams: Streams
    num_dir: int
    """m, how many directions the step takes."""
    first: int = 0
    """The number of its first direction."""

    @cached_property
    def parameters(self) -> list[Parameter]:
        """All parameters that a forward pass depends on."""
        return [
            parameter for parameter in self.network.parameters() if parameter.group != "feedback"
        ]

    @cached_property
    def xp(self) -> ModuleType:
        """The array module of the parameters."""
        return array_module(*(parameter.value for parameter in self.parameters))

    @property
    def n(self) -> int:
        """Number of entries of one replica's parameters."""
        return sum(entry_count(parameter) for parameter in self.parameters)


@dataclass(frozen=True)
class Strategy:
    """A frozen set of options; what it remembers is handed in and out, as the state."""

    drawn_together: ClassVar[bool] = False
    """Whether all directions of a step must be drawn at once."""

    def check_room(self, n: int, num_dir: int) -> None:
        """Raise ValueError where n parameters have no room for so many directions a step."""

    def begin(self, forward_pass: ForwardPass, state: Any) -> Any:
        """Return what the step works with, made from the state that the last one left; None in the first step."""
        return state

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        """Return the directions of these numbers."""
        raise NotImplementedError

    def derivative(self, forward_pass: ForwardPass, v: Tangents, state: Any) -> Array:
        """Return d [J, R], the number that is clipped and multiplies v."""
        return along(forward_pass, v)

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: Any) -> None:
        """Add this chunk's share to the gradients: (1/m) sum of d v."""
        accumulate(forward_pass, d / forward_pass.num_dir, v)

    def end(self, forward_pass: ForwardPass, state: Any) -> Any:
        """Finish the gradients, once all directions have been added; return the state for the next step."""
        return state

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array | None:
        """Return E |estimate - g|^2 / |g|^2 [R] at the gradient g; None where no closed form is known.

        For an unbiased strategy that is its variance. `state` is what `begin` returned.
        """
        return None


def entry_count(parameter: Parameter) -> int:
    """Return how many entries one replica's parameter has."""
    return math.prod(parameter.shape[1:])


def along(forward_pass: ForwardPass, v: Tangents) -> Array:
    """Return the derivatives of the loss [J, R] along v, from one tangent pass; it leaves no tangents behind."""
    for parameter, own in zip(forward_pass.parameters, v, strict=True):
        parameter.tangent = own
    moved = forward_pass.network.tangent(None)
    for parameter in forward_pass.parameters:
        parameter.tangent = None
    return forward_pass.loss.tangent(moved)


def accumulate(forward_pass: ForwardPass, d: Array, v: Tangents) -> None:
    """Add the sum over j of d_j v_j to the gradients: d [J, R]. One after another, in any chunks the same sum."""
    for parameter, own in zip(forward_pass.parameters, v, strict=True):
        for each, direction in zip(d.astype(own.dtype), own, strict=True):
            add_to(parameter, each.reshape(-1, *(1,) * (own.ndim - 2)) * direction)


def add_to(parameter: Parameter, term: Array) -> None:
    """Add `term` [R, ...] to the gradient, which is none before the first."""
    if parameter.grad is None:
        parameter.grad = term
    else:
        parameter.grad += term  # in place: `term` was nobody else's


def gradients(forward_pass: ForwardPass) -> list[Array]:
    """Return what lies in the parameters' gradients, multiplied out."""
    found = [parameter.grad for parameter in forward_pass.parameters]
    return [dense(g) for g in found if g is not None]


def inner(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Return <a, b> over all parameters, float64 [..., R]: each of a [..., R, ...] against its own of b [R, ...]."""
    total: Any = 0.0
    for one, other in zip(a, b, strict=True):
        axes = tuple(range(1 - other.ndim, 0))
        total = total + (one * other).sum(axes, dtype=float)
    return total


def squared(g: Sequence[Array]) -> Array:
    """Return |g|^2 over all parameters [R, ...], float64 [R]."""
    return inner(g, g)
