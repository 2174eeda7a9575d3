"""One product of a layer: who estimates it, what that estimator remembers, and what it has cost."""

from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.ledger import Tally, Terms, add_up
from aopnp.estimators.outer_products import Gradient, Multiply, as_they_are, kept
from aopnp.estimators.policies import Selection
from aopnp.estimators.step import Step


class Product:
    """A sum of outer products `A^T B` that `estimator` answers for in training steps."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator
        self.forget()

    def forget(self) -> None:
        """Begin anew: no memory, nothing spent."""
        self.state: Any = None
        self.tally = Tally()
        self.beside = 0
        """Flops that belong to the product and are none of its terms."""

    def __call__(
        self,
        a: Array,
        b: Array,
        noise: Array | None,
        step: Step,
        *,
        inputs: int,
        share: Array | None = None,
        multiply: Multiply = as_they_are,
        flops: int | None = None,
    ) -> Gradient:
        """Return the estimate of A^T B [R, N, P] for a [R or 1, n, N] and b [R, n, P].

        For the ledger: a has `inputs` numbers, of which `share` [R] is left where the layer's inputs are sampled.
        `multiply` says what a pair stands for, `flops` what that costs (None: one outer product, 2 N P).
        """
        if self.state is None:
            self.state = self.estimator.start(a, b)
        estimate = self.estimator(a, b, self.state, noise, step, multiply)
        n, B = b.shape[1:]
        terms = Terms(n, inputs, B, flops or 2 * inputs * B, b.dtype.itemsize)
        self.tally.add(self.estimator, b, terms, kept(estimate, n, len(b)), share)
        return estimate

    def exact(self, n: int, A: int, B: int, like: Array, share: Array | None = None) -> None:
        """Count an exact product of n terms of A and B numbers that the caller has made, for R = len(like) replicas."""
        self.tally.add(
            self.estimator, like, Terms(n, A, B, 2 * A * B, like.dtype.itemsize), None, share
        )

    def select(
        self, a: Array, b: Array, noise: Array | None, step: Step, flops: int
    ) -> Selection | None:
        """Return which terms to keep, None for all; a [R or 1, n, ...], b [R, n, ...], each term costs `flops`."""
        selection = self.estimator.select(a, b, noise, step)
        n, A, B = b.shape[1], a[0, 0].size, b[0, 0].size
        count = None if selection is None else selection.count
        self.tally.add(self.estimator, b, Terms(n, A, B, flops, b.dtype.itemsize), count)
        return selection

    def spent(self, like: Array) -> dict[str, Array]:
        """Return, and reset, what the product has cost R = len(like) replicas."""
        beside, self.beside = array_module(like).full(len(like), float(self.beside)), 0
        own = {"flops": beside, "overhead_flops": beside} if beside[0] else {}
        return add_up(own, self.tally.spent(self.estimator, like))

    def observations(self) -> dict[str, Array]:
        """Return, and reset, what the estimator has measured."""
        return {} if self.state is None else self.estimator.observations(self.state)
