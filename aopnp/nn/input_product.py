"""The product that carries the gradient to the layer below: dX = G W^T.

A feedback may put another matrix in the place of W.
"""

from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.outer_products import add_scaled
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.feedback import Feedback
from aopnp.nn.layer import Parameter


class InputProduct(Product):
    """A sum over `outputs` outputs, with W or with the matrix that `feedback` puts in its place."""

    b: Parameter | None = None
    """The matrix that the feedback keeps [R, N, P]; it lies in memory as the weights do."""

    def __init__(self, estimator: Estimator, feedback: Feedback, outputs: int) -> None:
        super().__init__(estimator, outputs, Purpose.INPUT_SELECTION)
        if not isinstance(feedback, Feedback):
            raise TypeError(
                f"expected a feedback like RandomFeedback(), got {feedback!r}; "
                "FEEDBACKS has them by name"
            )
        self.feedback = feedback

    def parameters(self) -> list[Parameter]:
        """Return b where it is trained."""
        if self.b is None or not self.feedback.trained:
            return []
        return [self.b]

    def follow(self, weight: Parameter) -> None:
        """Give a trained matrix the gradient of the weights: the optimiser moves both alike."""
        for b in self.parameters():
            b.grad = weight.grad

    def begin(self, streams: Streams, number: int) -> None:
        """Forget the state; from now on draw from `streams`, as layer `number` of a network."""
        self.streams = streams
        self.number = number
        self.forget()

    def matrix(self, w: Array, step: Step) -> Array:
        """Return the matrix [R, N, P] that the feedback puts in the place of w [R, N, P].

        In training, a feedback that moves its matrix itself moves it first.
        """
        b = w
        if self.b is not None:
            b = self.b.value

        def normal(size: int) -> Array:
            """Return standard normal variates of this layer and step, float64 [R or 1, size]."""
            key = Purpose.NOISE, self.number
            return self.streams.normal(*key, step=step.index, size=size, xp=array_module(b))

        if self.feedback.advances and step.training:
            self.extra_flops += self.feedback.advance(w, b, normal, step)
        return self.feedback.matrix(w, b)

    def estimate(self, g: Array, w: Array, step: Step) -> Array:
        """Return the estimate of G W^T [R, rows, N] for g [R, rows, P] and w [R, N, P]."""
        if isinstance(self.estimator, Exact):
            self.count_exact(w.shape[-1], self.inputs or w.shape[-2], g.shape[1], g)
            return g @ w.swapaxes(-1, -2)
        transposed = self(w.swapaxes(-1, -2), g.swapaxes(-1, -2), step)
        dx = array_module(g).zeros((len(g), g.shape[1], w.shape[1]), g.dtype)
        # The estimate is the sum of w_p g_p^T, the transpose of dX.
        add_scaled(dx.swapaxes(-1, -2), transposed, 1.0)
        return dx

    def saved(self) -> dict[str, Any]:
        """Return the feedback's matrix by name; empty where it is saved as a parameter."""
        if self.b is None or self.feedback.trained:
            return {}
        return {"feedback": self.b.value}

    def restore(self, saved: dict[str, Any], layer: str) -> None:
        """Take over the matrix that `saved` returned.

        Raises ValueError, which names the layer, where it is the matrix of another kind of
        feedback.
        """
        if ("feedback" in saved) != bool(self.saved()):
            raise ValueError(
                f"{layer}: expected a state saved with the feedback {self.feedback}, "
                "got that of another one"
            )
        for name, value in self.saved().items():
            value[...] = saved[name]
