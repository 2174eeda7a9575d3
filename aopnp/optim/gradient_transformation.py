"""An optimiser around another: the inner one moves the parameters, but is handed other gradients than were computed.

    w <- inner(w, handed(gradients so far))

Step sizes, schedule and weight decay are the inner optimiser's, and it remembers what it always does.
"""

from collections.abc import Sequence
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.outer_products import Gradient, dense
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.optim.optimiser import Optimiser


class Around(Optimiser):
    """Hands `inner` what `handed` returns; after an update the parameters have their own gradients again."""

    def __init__(self, inner: Optimiser) -> None:
        super().__init__(inner.base_lr, inner.weight_decay, inner.schedule)
        self.inner = inner

    def handed(
        self, parameters: Sequence[Parameter], gradients: Sequence[Array], step: Step
    ) -> Sequence[Array]:
        """Return other gradients for `parameters`, from their own, multiplied out, and what is remembered of them."""
        raise NotImplementedError

    @property
    def kind(self) -> str:
        return f"{type(self).__name__} around {self.inner.kind}"

    def lr(self, step: int) -> Array:
        return self.inner.lr(step)

    def feedback_lr(self, step: int) -> Array:
        return self.inner.feedback_lr(step)

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        own = [parameter.grad for parameter in parameters]
        gradients = [dense(gradient) for gradient in own if gradient is not None]
        _give(parameters, self.handed(parameters, gradients, step))
        self.inner.update(parameters, step)
        _give(parameters, own)

    def move(self, parameter: Parameter, gradient: Gradient, lr: Array) -> None:
        name = type(self).__name__
        raise TypeError(
            f"expected {name} to update all parameters at once, got one; write {name}(Apart(...))"
        )

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        return list(zip(super().saved(parameters), self.inner.saved(parameters), strict=True))

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        super().restore(parameters, [own for own, _ in saved])
        self.inner.restore(parameters, [inner for _, inner in saved])


def _give(parameters: Sequence[Parameter], gradients: Sequence[Gradient | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
