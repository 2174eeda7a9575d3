"""The product that carries the gradient down, dX = G W^T, and what a feedback puts in the place of W."""

from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators import Estimator, Exact
from aopnp.estimators.outer_products import add_scaled
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.feedback import Feedback
from aopnp.nn.layer import Parameter


class InputProduct(Product):
    """A sum over the outputs, of W or of a feedback's own matrix `b`, which is drawn and lies as the weights are."""

    b: Parameter | None = None

    def __init__(self, estimator: Estimator, feedback: Feedback) -> None:
        super().__init__(estimator)
        if not isinstance(feedback, Feedback):
            raise TypeError(
                f"expected a feedback like RandomFeedback(), got {feedback!r}; FEEDBACKS has them by name"
            )
        self.feedback = feedback

    def parameters(self) -> list[Parameter]:
        """Return b where it is trained."""
        return [self.b] if self.b is not None and self.feedback.trained else []

    def begin(self, streams: Streams, number: int) -> None:
        """Take the streams that layer number `number` of a network draws from."""
        self.streams, self.number = streams, number

    def matrix(self, weight: Parameter, step: Step) -> Array:
        """Return what stands for the weights, of a feedback that keeps a matrix."""
        assert self.b is not None
        w, b = weight.numbers(), self.b.value

        def normal(size: int) -> Array:
            xp = array_module(b)
            return self.streams.normal(
                Purpose.NOISE, self.number, step=step.index, size=size, xp=xp
            )

        if self.feedback.advances and step.training:
            self.beside += self.feedback.advance(w, b, normal, step)
        return self.feedback.matrix(w, b)

    def down(
        self,
        g: Array,
        w: Array,
        noise: Array | None,
        step: Step,
        *,
        inputs: int,
        share: Array | None = None,
    ) -> Array:
        """Return dX [R, rows, N] of g [R, rows, P] and w [R, N, P]; a probing pass neither estimates nor counts."""
        if step.probing or isinstance(self.estimator, Exact):
            if not step.probing:
                self.exact(w.shape[-1], inputs, g.shape[1], g, share)
            return g @ w.swapaxes(-1, -2)
        estimate = self(
            w.swapaxes(-1, -2), g.swapaxes(-1, -2), noise, step, inputs=inputs, share=share
        )
        dx = array_module(g).zeros((len(g), g.shape[1], w.shape[1]), g.dtype)
        add_scaled(dx.swapaxes(-1, -2), estimate, 1.0)  # the sum of w_p g_p^T is the transpose
        return dx

    def own(self) -> dict[str, Array]:
        """Return what is saved of b: nothing where it is a parameter."""
        return {} if self.b is None or self.feedback.trained else {"feedback": self.b.value}

    def restore(self, saved: dict[str, Any], layer: str) -> None:
        """Take over what `own` returned; ValueError, which names the layer, where it is another feedback's."""
        if ("feedback" in saved) != bool(self.own()):
            raise ValueError(
                f"{layer}: expected what was saved with the feedback {self.feedback}, got another's"
            )
        for name, value in self.own().items():
            value[...] = saved[name]
