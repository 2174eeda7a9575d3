"""The orthogonal trick: directions orthogonal to the directions of the last H steps.

    Q [n, h] an orthonormal basis of the stored directions
    r ~ N(0, I)        r <- r - Q (Q^T r), twice

    rescaled (default)    v = sqrt(n) r / |r|    estimate = (1/m) sum over j of d_j v_j
    unscaled              v = r                  estimate = n / (n - h) (1/m) sum over j of d_j v_j

Each form is unbiased if Q is isotropic and independent of g; with both factors at once the
estimate is biased. For a given Q the estimate has no component in the span of Q. This helps a step
only if the last direction was worse than average: with a unit vector v_t and c = cos^2(v_t, g),

    E cos^2(v_t+1, g) = (1 - c) / (n - 1)        1/n without the trick

Over a window in which g does not change, T orthogonal directions have the variance n/T - 1 instead
of (n - 1)/T: a gain of about T/n.

h is the number of stored directions: H m once the ring is full. There must be room for m more
directions, because they would depend on each other otherwise, and their basis would not be
isotropic. So (H + 1) m <= n. Tensor by tensor, the window of a tensor with n_l entries is
floor(n_l / m) - 1, at most H; a tensor too small for any window gets independent directions. The
trick costs O(n m h) flops in a step and stores n h numbers.
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
    """The directions of the last steps, each set in the place of the oldest; updated in place."""

    q: list[Array]
    """Orthonormal columns [R or 1, entries, window m]: a matrix for every tensor, or one for all.

    Columns that have not been filled yet are zero.
    """
    steps: int = 0
    """Number of steps whose directions have been stored."""


@dataclass(frozen=True)
class Orthogonal(Strategy):
    """`window` is H, the number of steps whose directions are stored.

    If `flat`, directions are orthogonal as vectors of all parameters, else tensor by tensor.
    `scale` is the form of the estimate. If `within`, the m directions of a step are orthogonal to
    each other, too.
    """

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
                "expected rescaled directions where they are orthogonal within a step, got "
                "unscaled; an orthonormal set has no length of its own"
            )

    def check_room(self, n: int, num_dir: int) -> None:
        if self.flat and (self.window + 1) * num_dir > n:
            raise ValueError(
                f"expected room among the n = {n} parameters for the directions of window + 1 "
                f"steps, got window = {self.window} and num_dir = {num_dir}; lower one of them"
            )

    def begin(self, forward_pass: ForwardPass, state: Ring | None) -> Ring:
        if state is not None:
            return state
        return self.empty_state(forward_pass)

    def empty_state(self, forward_pass: ForwardPass) -> Ring:
        self.check_room(forward_pass.n, forward_pass.num_dir)
        sizes = [forward_pass.n]
        if not self.flat:
            sizes = [entry_count(parameter) for parameter in forward_pass.parameters]
        runs, m = forward_pass.streams.runs, forward_pass.num_dir
        # Replicas of one and the same run draw the same directions: these are stored once.
        replicas = 1
        if len(set(runs)) > 1:
            replicas = len(runs)
        dtype = forward_pass.parameters[0].dtype
        q = []
        for n in sizes:
            window = max(min(self.window, n // m - 1), 0)
            q.append(forward_pass.xp.zeros((replicas, n, window * m), dtype))
        return Ring(q)

    def sample(self, forward_pass: ForwardPass, directions: Sequence[int], state: Ring) -> Tangents:
        normal = self._tensors(forward_pass, for_all("gaussian", forward_pass, directions))
        drawn = []
        for r, q in zip(normal, state.q, strict=True):
            drawn.append(self._direction(r, q))
        if self.flat:
            drawn = split_by_parameter(forward_pass, drawn[0])
        return tangents(forward_pass, drawn)

    def _direction(self, r: Array, q: Array) -> Array:
        """Return directions [R or 1, n, m] orthogonal to q, made from normal directions r."""
        n, m = r.shape[-2:]
        if q.shape[-1]:
            # Twice: once would leave rounding errors of a long vector in the span.
            for _ in range(2):
                r = r - q @ (q.swapaxes(-1, -2) @ r)
        if self.scale == "unscaled":
            return r
        if self.within and m <= n:
            return orthonormal(r) * n**0.5
        lengths = (r * r).sum(-2, keepdims=True, dtype=float) ** 0.5
        return r * (n**0.5 / lengths).astype(r.dtype)

    def add(self, forward_pass: ForwardPass, d: Array, v: Tangents, state: Ring) -> None:
        m = forward_pass.num_dir
        used = self._tensors(forward_pass, v)
        if self.scale == "unscaled":
            factors = [self._factor(q, state.steps, m) for q in state.q]
            if self.flat:
                factors = factors * len(v)
            v = [part * factor for part, factor in zip(v, factors, strict=True)]
        super().add(forward_pass, d, v, state)
        for q, directions in zip(state.q, used, strict=True):
            if q.shape[-1]:
                place = state.steps * m % q.shape[-1]
                q[..., place : place + m] = orthonormal(directions)
        state.steps += 1

    @staticmethod
    def _factor(q: Array, steps: int, m: int) -> float:
        """Return n / (n - h) after so many steps."""
        n, width = q.shape[-2:]
        h = min(steps * m, width)
        return n / (n - h)

    def _tensors(self, forward_pass: ForwardPass, v: Tangents) -> list[Array]:
        """Return the directions as matrices: one for every tensor, or one for all together."""
        separate = columns(forward_pass, v)
        if self.flat:
            return [join_parameters(separate)]
        return separate
