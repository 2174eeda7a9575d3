"""Error feedback around an optimiser: the largest entries are applied, the rest waits and adds up.

    u = (lr_last / lr) e + g
    applied = the largest share of the entries of u, by magnitude
    e <- u - applied

The inner optimiser applies `applied`. In units of the step, r = lr e, nothing is lost under any
schedule: r <- r + lr g - lr applied. The memory of Mem-AOP does the same for the rows of a batch.
This is EF-SGD (Karimireddy et al. 2019, arXiv 1901.09847, algorithm 2) with the top k of each
tensor; its guarantee holds for plain SGD.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aopnp.arrays.backend import Array, array_module, replica_factors
from aopnp.arrays.per_replica import replica_values
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.optim.gradient_transformation import GradientTransformation
from aopnp.optim.optimiser import Optimiser


@dataclass
class Unapplied:
    """The waiting gradients of one parameter; updated in place."""

    residual: Array
    """e: gradients that were not applied yet [R, ...]."""
    lr_last: Array = field(metadata={"host": True})
    """Step size of the last update [R], on the host."""


class ErrorFeedback(GradientTransformation):
    """Applies the largest `share` of the entries of each tensor, at least one; ties all pass."""

    def __init__(self, inner: Optimiser, share: float) -> None:
        super().__init__(inner)
        if not 0 < share <= 1:
            raise ValueError(
                f"expected a share above 0 and up to 1 of the entries, got {share}; "
                "1 applies them all"
            )
        self.share = share

    def transform(
        self, parameters: Sequence[Parameter], gradients: Sequence[Array], step: Step
    ) -> list[Array]:
        lr, groups = step.lr, step.group_lr
        if lr is None:
            lr, groups = self.lr(step.index), self.group_lr(step.index)
        applied = []
        for parameter, g in zip(parameters, gradients, strict=True):
            lr_of_group = groups.get(parameter.group, lr)
            applied.append(self._applied(parameter, g, lr_of_group))
        return applied

    def _applied(self, parameter: Parameter, g: Array, lr: Array) -> Array:
        """Return the entries to apply, zero elsewhere; the remaining entries stay in the state."""
        lr = replica_values(lr, len(g))
        if not lr.min() > 0:
            raise ValueError(
                f"expected step sizes > 0 under error feedback, got {lr.min()}; "
                "end the training before lr is 0"
            )
        if parameter not in self.state:
            self.state[parameter] = Unapplied(array_module(g).zeros_like(g), lr.copy())
        state = self.state[parameter]
        state.residual *= replica_factors(state.lr_last / lr, g)
        state.residual += g
        state.lr_last[...] = lr
        applied = largest(state.residual, self.share)
        state.residual -= applied
        return applied


def largest(u: Array, share: float) -> Array:
    """Return u [R, ...] with zeros but for the largest `share` of each replica, by magnitude."""
    xp = array_module(u)
    magnitude = abs(u).reshape(len(u), -1)
    n = magnitude.shape[1]
    kept = max(1, round(share * n))
    threshold = xp.partition(magnitude, n - kept, axis=-1)[:, n - kept]
    # Not u >= threshold: a NaN, which is sorted last, passes at once and is seen in the weights.
    below = (magnitude < threshold[:, None]).reshape(u.shape)
    return xp.where(below, u.dtype.type(0), u)
