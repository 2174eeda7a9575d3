"""The orthogonal trick: directions orthogonal to those of the last H steps.

    r ~ N(0, I)        r <- r - Q (Q^T r), twice        Q [n, h] an orthonormal basis of the directions that are held

    rescaled (default)    v = sqrt(n) r / |r|          estimate = (1/m) sum of d v
    unscaled              v = r                        estimate = n / (n - h) (1/m) sum of d v

Each form is unbiased if Q is isotropic and independent of g; both factors at once are not. Given Q the estimate has no
component in its span. That helps a step only if the last direction was worse than average: with a unit vector v_t and
c = cos^2(v_t, g), E cos^2(v_t+1, g) = (1 - c) / (n - 1), against 1/n without the trick. Over a window in which g does
not change, T orthogonal directions have variance n/T - 1 and not (n - 1)/T: a gain of about T/n.

h counts what is held, H m once the ring is full. There must be room for m more beside them: they would depend on each
other otherwise, and their basis would not be isotropic. So (H + 1) m <= n; tensor by tensor, the window of one with n_l
entries is floor(n_l / m) - 1, at most H, and one too small for any window gets plain directions. Costs O(n m h) flops
and keeps n h numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from aopnp.arrays.backend import Array
from aopnp.training.directions.entries import for_all
from aopnp.training.directions.flat import (
    columns,
    join_parameters,
    orthonormal,
    split_by_parameter,
    tangents,
)
from aopnp.training.directions.strategy import ForwardPass, Strategy, Tangents, entry_count


@dataclass
class Ring:
    """The directions of the last steps; updated in place."""

    q: list[Array]
    """One for every tensor, or one for all [R or 1, its entries, window m]: orthonormal columns, zero before."""
    steps: int = 0
    """How many steps have left theirs."""


@dataclass(frozen=True)
class Orthogonal(Strategy):
    """`window` is H; `flat` over all parameters, else tensor by tensor; `within` makes a step's own set orthogonal."""

    drawn_together: ClassVar[bool] = True
    window: int = 1
    flat: bool = True
    scale: Literal["rescaled", "unscaled"] = "rescaled"
    within: bool = False

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"expected a window of at least 1 step, got {self.window}")
        if self.scale not in ("rescaled", "unscaled"):
            raise ValueError(f"expected a scale among rescaled, unscaled, got {self.scale!r}")
        if self.within and self.scale == "unscaled":
            raise ValueError(
                "expected rescaled directions where they are orthogonal within a step, got unscaled; "
                "an orthonormal set has no length of its own"
            )

    def check_room(self, n: int, num_dir: int) -> None:
        if self.flat and (self.window + 1) * num_dir > n:
            raise ValueError(
                f"expected room among the n = {n} parameters for the directions of window + 1 steps, got window "
                f"= {self.window} and num_dir = {num_dir}; lower one of them"
            )

    def begin(self, forward_pass: ForwardPass, state: Ring | None) -> Ring:
        if state is not None:
            return state
        xp, m = forward_pass.xp, forward_pass.num_dir
        sizes = (
            [forward_pass.n]
            if self.flat
            else [entry_count(parameter) for parameter in forward_pass.parameters]
        )
        self.check_room(forward_pass.n, m)
        replicas = len(forward_pass.streams.runs) if len(set(forward_pass.streams.runs)) > 1 else 1
        widths = [max(min(self.window, n // m - 1), 0) * m for n in sizes]
        dtype = forward_pass.parameters[0].dtype
        return Ring(
            [xp.zeros((replicas, n, width), dtype) for n, width in zip(sizes, widths, strict=True)]
        )

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Ring) -> Tangents:
        fresh = self._tensors(forward_pass, for_all("gaussian", forward_pass, directions))
        drawn = [self._direction(forward_pass, r, q) for r, q in zip(fresh, state.q, strict=True)]
        return tangents(
            forward_pass, split_by_parameter(forward_pass, drawn[0]) if self.flat else drawn
        )

    def _direction(self, forward_pass: ForwardPass, r: Array, q: Array) -> Array:
        n, m = r.shape[-2:]
        for _ in range(
            2 if q.shape[-1] else 0
        ):  # once leaves the rounding of a long vector in the span
            r = r - q @ (q.swapaxes(-1, -2) @ r)
        if self.scale == "unscaled":
            return r
        if self.within and m <= n:
            return orthonormal(r) * n**0.5
        lengths = (r * r).sum(-2, keepdims=True, dtype=float) ** 0.5
        return r * (n**0.5 / lengths).astype(r.dtype)

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: Ring) -> None:
        used = self._tensors(forward_pass, v)
        if self.scale == "unscaled":
            factors = [self._factor(q, state.steps, forward_pass.num_dir) for q in state.q]
            v = [
                own * factor
                for own, factor in zip(v, factors * len(v) if self.flat else factors, strict=True)
            ]
        super().add(forward_pass, d, v, state)
        for q, own in zip(state.q, used, strict=True):
            if q.shape[-1]:
                place = state.steps * forward_pass.num_dir % q.shape[-1]
                q[..., place : place + forward_pass.num_dir] = orthonormal(own)
        state.steps += 1

    @staticmethod
    def _factor(q: Array, steps: int, m: int) -> float:
        """Return n / (n - h)."""
        n, width = q.shape[-2:]
        return n / (n - min(steps * m, width))

    def _tensors(self, forward_pass: ForwardPass, v: Tangents) -> list[Array]:
        """Return the matrices of directions that are made orthogonal: one for every tensor, or one for all."""
        separate = columns(forward_pass, v)
        return [join_parameters(separate)] if self.flat else separate
