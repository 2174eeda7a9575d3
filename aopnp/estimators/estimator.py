"""What an estimator is: a cheaper answer to the question `A^T B`, a sum of outer products."""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.outer_products import Gradient, Multiply, as_they_are
from aopnp.estimators.policies import Selection
from aopnp.estimators.step import Step


class Estimator:
    """Estimate `X^T G = sum over m of x_m g_m^T`; frozen, while its state lives with the layer.

    The weight gradient is such a sum over the rows of a batch; the input gradient `G W^T` is one over the outputs,
    with x_p a column of G and g_p one of W; the forward product is one over the inputs.
    """

    remembers: bool = False
    """Whether its estimate depends on earlier steps."""
    factored: bool = True
    """Whether it answers with pairs, never with a matrix: only pairs can stand for something else."""

    def slots(self, batch_size: int) -> int:
        """Return how many variates of selection noise a step of M rows takes; 0 for none."""
        return 0

    def start(self, x: Array, g: Array) -> Any:
        """Return the state before the first step, for inputs shaped like x [R or 1, M, N] and g [R, M, P]."""
        return ()

    def __call__(
        self,
        x: Array,
        g: Array,
        state: Any,
        noise: Array | None,
        step: Step,
        multiply: Multiply = as_they_are,
    ) -> Gradient:
        """Return the estimate [R, N, P] of X^T G and update `state` in place.

        x [R or 1, M, N] and g [R, M, P] are the factors (for a weight gradient the layer's input and the gradient of
        the mean loss at its output), noise [R or 1, slots] is standard Gumbel. Where a row stands for more than one
        outer product (an image for its patches), `multiply` says for which.
        """
        raise NotImplementedError

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        """Return which terms of `sum over i of a_i b_i^T` to keep, None for all; a [R or 1, n, ...], b [R, n, ...].

        For a caller who multiplies himself: a forward product is differentiated through its sample.
        """
        raise NotImplementedError

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return what steps that kept `kept` [T, R] terms, of A numbers on the input side, cost beside the product."""
        return Overhead()

    def observations(self, state: Any) -> dict[str, Array]:
        """Return, and reset, what was measured since the last call: name -> mean [R]."""
        return {}
