"""The forward product Y = X W: a sum over the inputs, of which training may keep a sample.

(Adelman et al. 2021, arXiv 1805.08079.)
"""

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.nn.sampled_inputs import SampledInputs


class ForwardProduct(Product):
    """The sum over the inputs of a layer with weights [R, `inputs`, `outputs`].

    This object only chooses the inputs. The layer multiplies, and its backward and tangent passes
    are the derivatives of the sampled product.
    """

    def __init__(self, estimator: Estimator, inputs: int, outputs: int) -> None:
        super().__init__(estimator, inputs, Purpose.FORWARD_SELECTION)
        self.weights = inputs, outputs
        """Shape (N, P) of the weights."""
        self.counting = False
        """Whether the last forward pass was one of training, whose costs are counted."""

    def choose(self, x: Array, weight: Parameter, rows: int, step: Step) -> SampledInputs | None:
        """Return the inputs of x [R or 1, M, ..., C] to multiply, None for all; count the product.

        The product has `rows` rows of outputs. Evaluation is exact, and its costs are not counted.
        """
        self.counting = step.training
        if not step.training:
            return None
        N, P = self.weights
        if isinstance(self.estimator, Exact):
            self.count_exact(N, rows, P, weight.value)
            return None
        xp = array_module(x)
        w = weight.numbers()
        C = x.shape[-1]
        taps = N // C
        # Term c of the sum: all numbers of x and all weights that belong to input c.
        a = xp.moveaxis(x.reshape(*x.shape[:2], -1, C), -1, 1)
        b = xp.moveaxis(w.swapaxes(-1, -2).reshape(len(w), P, taps, C), -1, 1)
        selection = self.select(a, b, step, flops=2 * rows * taps * P)
        if selection is None:
            return None
        return SampledInputs(selection, C, x.ndim - 1)

    def tangent(self, x: Array, w: Array) -> Array:
        """Return x w, a product of a tangent pass [..., R, rows, P], and count it in training."""
        product = x @ w
        if self.counting:
            self.extra_flops += 2 * w.shape[-2] * product.size // product.shape[-3]
        return product
