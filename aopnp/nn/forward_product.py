"""The forward product, Y = X W: of all inputs, or in training of a sample (Adelman et al. 2021, arXiv 1805.08079)."""

from collections.abc import Callable

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators import Exact
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.layer import Parameter
from aopnp.nn.sampled_inputs import ALL_INPUTS, AllInputs, KeptInputs


class ForwardProduct(Product):
    """A sum over the inputs. It chooses them; the layer multiplies, and is differentiated through its choice."""

    counting = False

    def choose(
        self,
        x: Array,
        weight: Parameter,
        noise: Callable[[str, Step], Array | None],
        step: Step,
        rows: int,
    ) -> AllInputs | KeptInputs:
        """Return the inputs of x [R or 1, M, ..., C] to multiply, for `rows` rows of outputs, and count the product."""
        self.counting = step.training
        if not step.training:
            return ALL_INPUTS
        C, (R, N, P) = x.shape[-1], weight.shape
        if isinstance(self.estimator, Exact):
            self.exact(N, rows, P, weight.value)
            return ALL_INPUTS
        xp, w = array_module(x), weight.numbers()
        a = xp.moveaxis(x.reshape(*x.shape[:2], -1, C), -1, 1)
        b = xp.moveaxis(w.swapaxes(-1, -2).reshape(R, P, N // C, C), -1, 1)
        selection = self.select(a, b, noise("forward", step), step, 2 * rows * (N // C) * P)
        return ALL_INPUTS if selection is None else KeptInputs(selection, C)

    def counted(self, x: Array, w: Array) -> Array:
        """Return x w, a product of a tangent pass [..., R, rows, P]; in training it is on the bill."""
        product = x @ w
        if self.counting:
            self.beside += 2 * w.shape[-2] * product.size // product.shape[-3]
        return product
