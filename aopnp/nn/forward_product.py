"""The forward product Y = X W: a sum over the inputs, all of them or a sample in training.

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
    """A sum over inputs. It chooses them; the layer multiplies, and is differentiated through the choice.

    The weights are [R, `inputs`, `outputs`].
    """

    def __init__(self, estimator: Estimator, inputs: int, outputs: int) -> None:
        super().__init__(estimator, inputs, Purpose.FORWARD_SELECTION)
        self.weights = inputs, outputs
        self.counting = False

    def choose(self, x: Array, weight: Parameter, rows: int, step: Step) -> SampledInputs | None:
        """Return which inputs of x [R or 1, M, ..., C] to multiply, None for all, and count the product.

        The product has `rows` rows of outputs. Evaluation is exact, and costs nothing.
        """
        self.counting = step.training
        if not step.training:
            return None
        N, P = self.weights
        if isinstance(self.estimator, Exact):
            self.count_exact(N, rows, P, weight.value)
            return None
        xp, w, C = array_module(x), weight.numbers(), x.shape[-1]
        a = xp.moveaxis(x.reshape(*x.shape[:2], -1, C), -1, 1)
        b = xp.moveaxis(w.swapaxes(-1, -2).reshape(len(w), P, N // C, C), -1, 1)
        selection = self.select(a, b, step, 2 * rows * (N // C) * P)
        if selection is None:
            return None
        return SampledInputs(selection, C, x.ndim - 1)

    def tangent(self, x: Array, w: Array) -> Array:
        """Return x w, a product of a tangent pass [..., R, rows, P]; training enters it in the ledger."""
        product = x @ w
        if self.counting:
            self.extra_flops += 2 * w.shape[-2] * product.size // product.shape[-3]
        return product
