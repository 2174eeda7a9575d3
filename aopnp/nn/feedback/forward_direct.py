"""Forward direct feedback alignment: B learns the Jacobian from forward tangents.

    u ~ N(0, I) at every hook at once      d = tangent of the logits [R, M, K]
    dB = B - mean over examples of d_m u_m^T        e = error @ B

(Bacho and Chu 2024.) The expected value of d u^T at a hook is dy/da, averaged over the batch, and
B follows a running mean of it. With batch normalisation an example moves the outputs of the other
examples, too; B then holds only the effect of each example on its own outputs. No gradient is
carried back for that: `learn_jacobians` (aopnp.training) sends the tangents between the forward
and the backward pass.
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose
from aopnp.estimators.step import Step
from aopnp.nn.feedback.direct import Direct
from aopnp.nn.feedback.init import FeedbackInit, zeros


class FDFA(Direct):
    """Direct feedback whose B is a parameter that follows the Jacobian of forward tangents."""

    trained = True
    output_tangent: Array | None = None
    """d [R, M, K], until the backward pass has used it."""

    def __init__(
        self, outputs: int, shape: int | tuple[int, ...], init: FeedbackInit = zeros
    ) -> None:
        super().__init__(outputs, shape, init)

    def perturb(self, step: Step) -> None:
        """Draw the tangent u of the activations of the last forward pass."""
        x = self.x
        drawn = self.streams.normal(
            Purpose.NOISE,
            self.number,
            step=step.index,
            size=x[0].size,
            xp=array_module(x),
        )
        self.perturbation = drawn.astype(x.dtype).reshape(-1, *x.shape[1:])

    def learn(self, error: Array, step: Step) -> None:
        d, u = self.output_tangent, self.perturbation
        if d is None or u is None:
            raise ValueError(
                f"{self}: expected a tangent of the outputs, got none; "
                "train with the rule Backprop((learn_jacobians,))"
            )
        M = d.shape[1]
        jacobian = d.swapaxes(-1, -2) @ u.reshape(len(u), M, -1) / M
        self.b.grad = self.b.value - jacobian
        self.injection.count_exact(M, self.outputs, self.activations, error)
        self.output_tangent = self.perturbation = None
