"""Direct Kolen-Pollack: direct feedback that learns as if it were the output layer (Webster, Choi and Ahn).

    e = error @ B        dB = error^T a        B <- optimiser(B, dB)

with the activations a of the same forward pass. B goes downhill as the weights do, and moves together with
them, best by an optimiser of its own (`ParameterGroups`). With weight decay wd it tends to the correlation
of -error with a, divided by wd: a template of the activations for each class. dB is a sum of outer products
over the batch, with an estimator and a memory of its own.
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
    """Direct feedback whose B is a parameter; `estimator` answers for its gradient."""

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
        M = error.shape[1]
        a = (
            array_module(error)
            .broadcast_to(self.x, (len(error), *self.x.shape[1:]))
            .reshape(len(error), M, -1)
        )
        own_step = replace(step, lr=step.lr_of(self.b.group))
        self.b.grad = self.product(error, a, own_step)

    def products(self) -> dict[str, Product]:
        return super().products() | {"product": self.product}
