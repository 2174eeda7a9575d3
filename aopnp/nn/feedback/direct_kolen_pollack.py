"""Direct Kolen-Pollack: direct feedback that learns as if it were the output layer.

    e = error @ B        dB = error^T a        B <- optimiser(B, dB)

(Webster, Choi and Ahn.) a are the activations of the same forward pass. B goes downhill as the
weights do, and moves together with them, best by a separate optimiser (`ParameterGroups`). With
weight decay wd, B tends to the correlation of -error with a, divided by wd: a template of the
activations for each class. dB is a sum of outer products over the batch, which has its estimator
and memory like any weight gradient.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Streams
from aopnp.estimators import Estimator, Exact
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.feedback.direct import Direct
from aopnp.nn.feedback.init import FeedbackInit, normal


class DKP(Direct):
    """Direct feedback whose B is a parameter; `estimator` estimates the gradient of B."""

    trained = True

    def __init__(
        self,
        outputs: int,
        shape: int | tuple[int, ...],
        init: FeedbackInit = normal,
        estimator: Estimator = Exact(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(outputs, shape, init)
        self.product = Product(estimator)

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        super().initialise(streams, dtype, device, index)
        self.product.forget()

    def learn(self, error: Array, step: Step) -> None:
        R, M, _ = error.shape
        a = array_module(error).broadcast_to(self.x, (R, *self.x.shape[1:]))
        a = a.reshape(R, M, -1)
        # The memory of the estimator has to know the step size with which B moves.
        step_of_b = replace(step, lr=step.lr_of(self.b.group))
        self.b.grad = self.product(error, a, step_of_b)

    def products(self) -> dict[str, Product]:
        return super().products() | {"product": self.product}
