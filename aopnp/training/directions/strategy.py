"""The interface of a strategy, which chooses directions v and makes an estimate of the gradient g.

    d_j = <g, v_j>, the derivative of the loss along v_j, from one forward sweep of tangents
    estimate = (1/m) sum over j of d_j v_j

(Baydin et al. 2022, arXiv 2202.08587.) All samples of a batch share v. A direction is a pure
function of (seed, run, step, parameter, number of the direction): it exists while its tangent
runs, and is drawn again from this key when it is needed again. No direction is stored.
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
"""J directions side by side: an array [J, R or 1, ...] for every parameter [R, ...]."""


@dataclass(frozen=True)
class ForwardPass:
    """The facts about a training step whose forward pass and loss have just been run."""

    network: Layer
    loss: Loss
    step: Step
    streams: Streams
    num_dir: int
    """m, the number of directions of the step."""
    first: int = 0
    """Number of the first direction; the numbers of the others follow it."""

    @cached_property
    def parameters(self) -> list[Parameter]:
        """All parameters that the forward pass depends on, in the order of the network."""
        found = self.network.parameters()
        return [parameter for parameter in found if parameter.group != "feedback"]

    @cached_property
    def xp(self) -> ModuleType:
        """The array module of the parameters."""
        return array_module(*(parameter.value for parameter in self.parameters))

    @property
    def n(self) -> int:
        """Number of entries of all parameters of one replica."""
        return sum(entry_count(parameter) for parameter in self.parameters)


@dataclass(frozen=True)
class Strategy:
    """A kind of directions: a frozen set of options.

    A step calls `begin`, then `sample`, `derivative` and `add` for each chunk of directions, then
    `end`. The state is never an attribute: `begin` receives the state that `end` returned in the
    step before, and all other methods receive the state that `begin` returned.
    """

    drawn_together: ClassVar[bool] = False
    """Whether all directions of a step must be drawn at once."""

    def check_room(self, n: int, num_dir: int) -> None:
        """Raise ValueError if n parameters have no room for `num_dir` directions in a step."""

    def empty_state(self, forward_pass: ForwardPass) -> Any:
        """Return a state of zeros, with the structure of the states that `end` returns.

        None for a strategy that keeps no state. Only the network, the streams and the number of
        directions of `forward_pass` may be used: no forward pass need have been run.
        """
        return None

    def begin(self, forward_pass: ForwardPass, state: Any) -> Any:
        """Return the state of this step from the state after the last one (None: there is none)."""
        return state

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Any) -> Tangents:
        """Return the directions with the numbers `directions`, J of them."""
        raise NotImplementedError

    def derivative(self, forward_pass: ForwardPass, v: Tangents, state: Any) -> Array:
        """Return d [J, R], the numbers that are clipped and then multiply v."""
        return along(forward_pass, v)

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: Any) -> None:
        """Add the part of this chunk to the gradients: (1/m) sum over its directions of d v."""
        accumulate(forward_pass, d / forward_pass.num_dir, v)

    def end(self, forward_pass: ForwardPass, state: Any) -> Any:
        """Complete the gradients after all chunks have been added; return the next state."""
        return state

    def variance_factor(
        self, forward_pass: ForwardPass, gradient: Sequence[Array], state: Any
    ) -> Array | None:
        """Return E |estimate - g|^2 / |g|^2 [R] at the gradient g; None if no closed form is known.

        For an unbiased strategy this is the relative variance. `state` is the answer of `begin`.
        """
        return None


def entry_count(parameter: Parameter) -> int:
    """Return the number of entries of the parameter of one replica."""
    return math.prod(parameter.shape[1:])


def along(forward_pass: ForwardPass, v: Tangents) -> Array:
    """Return the derivatives of the loss [J, R] along v, from one sweep that leaves no tangents."""
    for parameter, tangent in zip(forward_pass.parameters, v, strict=True):
        parameter.tangent = tangent
    moved = forward_pass.network.tangent(None)
    for parameter in forward_pass.parameters:
        parameter.tangent = None
    return forward_pass.loss.tangent(moved)


def accumulate(forward_pass: ForwardPass, d: Array, v: Tangents) -> None:
    """Add the sum over j of d_j v_j to the gradients, for d [J, R].

    The directions are added one after another, so that the sum does not depend on the chunks.
    """
    for parameter, directions in zip(forward_pass.parameters, v, strict=True):
        axes = (1,) * (directions.ndim - 2)
        factors = d.astype(directions.dtype)
        for factor, direction in zip(factors, directions, strict=True):
            add_to(parameter, factor.reshape(-1, *axes) * direction)


def zeros(forward_pass: ForwardPass) -> list[Array]:
    """Return zeros [R, ...] for every parameter."""
    xp = forward_pass.xp
    return [xp.zeros(parameter.shape, parameter.dtype) for parameter in forward_pass.parameters]


def add_to(parameter: Parameter, term: Array) -> None:
    """Add `term` [R, ...] to the gradient of a parameter, or make it the gradient if there is none.

    The gradient may then be this very array, so the caller must not use `term` any more.
    """
    if parameter.grad is None:
        parameter.grad = term
    else:
        parameter.grad += term


def gradients(forward_pass: ForwardPass) -> list[Array]:
    """Return the gradients of the parameters that have one, multiplied out [R, ...]."""
    found = [parameter.grad for parameter in forward_pass.parameters]
    return [dense(gradient) for gradient in found if gradient is not None]


def inner(a: Sequence[Array], b: Sequence[Array]) -> Array:
    """Return <a, b> over all parameters, float64 [..., R], for a [..., R, ...] and b [R, ...]."""
    total: Any = 0.0
    for one, other in zip(a, b, strict=True):
        axes = tuple(range(1 - other.ndim, 0))
        total = total + (one * other).sum(axes, dtype=float)
    return total


def squared(g: Sequence[Array]) -> Array:
    """Return |g|^2 over all parameters [R, ...], float64 [R]."""
    return inner(g, g)
