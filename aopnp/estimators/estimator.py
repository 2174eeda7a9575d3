"""The interface of an estimator: a cheaper answer to `A^T B`, a sum of outer products."""

from typing import Any

from aopnp.arrays.backend import Array
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.outer_products import Expand, Gradient
from aopnp.estimators.policies import Selection
from aopnp.estimators.step import Step


class Estimator:
    """Estimate `X^T G = sum over m of x_m g_m^T`.

    The weight gradient is such a sum over the rows of a batch. The input gradient `G W^T` is one
    over the outputs, with x_p a column of W and g_p one of G. The forward product is one over the
    inputs. An estimator is frozen; the layer keeps its state.
    """

    remembers: bool = False
    """Whether its estimate depends on earlier steps."""
    factored: bool = True
    """Whether it answers with pairs of vectors, never with a matrix: only pairs can be expanded."""

    @property
    def refers_to_places(self) -> bool | Array:
        """Whether its state has an entry for each input, so that inputs must keep their places.

        One answer, or one for each replica [R] (on the host).
        """
        return self.remembers

    def slots(self, batch_size: int) -> int:
        """Return how many variates of selection noise a step of M rows takes; 0 for none."""
        return 0

    def start(self, x: Array, g: Array) -> Any:
        """Return the state before the first step, for x [R or 1, M, N] and g [R, M, P]."""
        return ()

    def __call__(
        self,
        x: Array,
        g: Array,
        state: Any,
        noise: Array | None,
        step: Step,
        expand: Expand | None = None,
    ) -> Gradient:
        """Return the estimate [R, N, P] of X^T G and update `state` in place.

        x [R or 1, M, N] and g [R, M, P] are the factors: for a weight gradient the layer's input
        and the gradient of the mean loss at its output. noise [R or 1, slots] is standard Gumbel.
        `expand`, if given, expands kept pairs into outer products.
        """
        raise NotImplementedError

    def select(self, a: Array, b: Array, noise: Array | None, step: Step) -> Selection | None:
        """Return which terms of `sum over i of a_i b_i^T` to keep, None for all.

        a [R or 1, n, ...] and b [R, n, ...]. This method is for a caller that multiplies the kept
        terms itself: a forward product is differentiated through its sample.
        """
        raise NotImplementedError

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the costs outside the product of steps that kept `kept` [T, R] terms.

        A is the number of entries on the input side, a number or [T, R].
        """
        return Overhead()

    def observations(self, state: Any) -> dict[str, Array]:
        """Return, and reset, the measurements since the last call: name -> mean [R]."""
        return {}
