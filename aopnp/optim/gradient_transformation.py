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
    """An optimiser whose `inner` optimiser applies transformed gradients.

    After an update the parameters have their original gradients again.
    """

    def transform(
        self, parameters: Sequence[Parameter], gradients: Sequence[Array], step: Step
    ) -> Sequence[Array]:
        """Return the gradients that `inner` should apply: one array [R, ...] for each parameter.

        They are computed from the gradients of this step, as dense arrays, and from `self.state`.
        """
        raise NotImplementedError

    @property
    def state_kind(self) -> str:
        return f"{type(self).__name__} around {self.inner.state_kind}"

    def update(self, parameters: Sequence[Parameter], step: Step) -> None:
        original = [parameter.grad for parameter in parameters]
        gradients = [dense(gradient) for gradient in original if gradient is not None]
        transformed = self.transform(parameters, gradients, step)
        _set_gradients(parameters, transformed)
        self.inner.update(parameters, step)
        _set_gradients(parameters, original)

    def saved(self, parameters: Sequence[Parameter]) -> list[Any]:
        states = Optimiser.saved(self, parameters)
        inner_states = self.inner.saved(parameters)
        return list(zip(states, inner_states, strict=True))

    def restore(self, parameters: Sequence[Parameter], saved: Sequence[Any]) -> None:
        states = [state for state, _ in saved]
        inner_states = [inner_state for _, inner_state in saved]
        Optimiser.restore(self, parameters, states)
        self.inner.restore(parameters, inner_states)


def _set_gradients(parameters: Sequence[Parameter], gradients: Sequence[Gradient | None]) -> None:
    """Give each parameter its gradient."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
