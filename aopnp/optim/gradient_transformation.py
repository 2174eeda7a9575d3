"""A gradient transformation: another optimiser moves the parameters along transformed gradients.

w <- inner(w, transform(gradients so far))
"""

from collections.abc import Sequence
from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.outer_products import Gradient, dense
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.optim.composed import Composed
from aopnp.optim.optimiser import Optimiser


class GradientTransformation(Composed):
    """`inner` applies transformed gradients; after an update the parameters have their own again."""

    def transform(
        self, parameters: Sequence[Parameter], gradients: Sequence[Array], step: Step
    ) -> Sequence[Array]:
        """Return the gradients that `inner` should apply: one array [R, ...] for each parameter.

        They are computed from this step's gradients, multiplied out, and from `self.state`.
        """
        raise NotImplementedError

    @property
    def state_kind(self) -> str:
        return f"{type(self).__name__} around {self.inner.state_kind}"

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        original = [parameter.grad for parameter in parameters]
        gradients = [dense(gradient) for gradient in original if gradient is not None]
        _set_gradients(parameters, self.transform(parameters, gradients, step))
        self.inner.update(parameters, step)
        _set_gradients(parameters, original)

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        own, inner = Optimiser.saved(self, parameters), self.inner.saved(parameters)
        return list(zip(own, inner, strict=True))

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        Optimiser.restore(self, parameters, [own for own, _ in saved])
        self.inner.restore(parameters, [inner for _, inner in saved])


def _set_gradients(parameters: Sequence[Parameter], gradients: Sequence[Gradient | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
