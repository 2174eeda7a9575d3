"""One sum of outer products in a layer: its estimator, with state, selection noise and costs."""

import copy
from typing import Any

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.streams import Purpose
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.ledger import LONGEST, Entry, Tally, Terms, add_up
from aopnp.estimators.outer_products import Expand, Gradient, OuterProducts, multiplied
from aopnp.estimators.policies import Selection
from aopnp.estimators.step import Step


class Product:
    """`A^T B = sum over i of a_i b_i^T`, which `estimator` answers for in training steps.

    The sum has `terms` terms where the layer fixes their number, else one for each row of the
    batch. `noise` names the stream of its selection noise: no two products of a layer share one.
    """

    expand: Expand | None = None
    """Expands kept pairs into outer products; None: each pair is one."""
    flops: int | None = None
    """Flops of one term; None: the 2 N P flops of one outer product."""
    inputs: int | None = None
    """Entries of a whole vector a_i, for the ledger; None: all that the given vectors have."""
    share: Array | None = None
    """Share of the entries of a_i that a sampled forward product kept [R], for the ledger.

    None: all.
    """
    rows: int | None = 1
    """Rows that an example contributes; None: not known before a forward pass."""

    def __init__(
        self, estimator: Estimator, terms: int | None = None, noise: Purpose = Purpose.SELECTION
    ) -> None:
        self.estimator = estimator
        self.terms = terms
        self.noise = noise
        self._draws = estimator.slots(1) > 0
        self.forget()

    def forget(self) -> None:
        """Begin anew: no memory, no costs."""
        self.state: Any = None
        self.tally = Tally()
        self.extra_flops = 0
        self._like: Array | None = None

    def exact_copy(self) -> "Product":
        """Return the same sum with the exact estimator, without state and costs."""
        twin = copy.copy(self)
        twin.estimator = Exact()
        twin._draws = False
        twin.forget()
        return twin

    def __call__(self, a: Array, b: Array, step: Step) -> Gradient:
        """Return the estimate of A^T B [R, N, P] for a [R or 1, n, N] and b [R, n, P]."""
        if self.state is None:
            self.state = self.estimator.start(a, b)
        noise = self._noise_of(step)
        estimate = self.estimator(a, b, self.state, noise, step, self.expand)
        n, B = b.shape[1:]
        A = self.inputs or a.shape[-1]
        terms = Terms(n, A, B, self.flops or 2 * A * B, b.dtype.itemsize)
        if isinstance(estimate, OuterProducts):
            kept = estimate.count
        else:
            kept = multiplied(estimate, n, len(b))
        self.count(terms, b, kept, self.share)
        return estimate

    def select(self, a: Array, b: Array, step: Step, flops: int) -> Selection | None:
        """Return which terms to keep, None for all; each term costs `flops`.

        a [R or 1, n, ...] and b [R, n, ...].
        """
        noise = self._noise_of(step)
        selection = self.estimator.select(a, b, noise, step)
        kept = None
        if selection is not None:
            kept = selection.count
        A, B = a[0, 0].size, b[0, 0].size
        terms = Terms(b.shape[1], A, B, flops, b.dtype.itemsize)
        self.count(terms, b, kept)
        return selection

    def count_exact(self, n: int, A: int, B: int, like: Array) -> None:
        """Enter an exact product of n terms of A and B numbers, which the caller has made.

        `like` [R, ...] gives the number of replicas, the device and the size of a number.
        """
        terms = Terms(n, A, B, 2 * A * B, like.dtype.itemsize)
        self.count(terms, like, None, self.share)

    def count(
        self, terms: Terms, like: Array, kept: Array | None, share: Array | None = None
    ) -> None:
        """Enter a step that multiplied `kept` [R] terms (None: all) into the ledger."""
        if self._like is None:
            self._like = array_module(like).empty(len(like))
        entries = self.tally.entries
        entries.append(Entry(terms, kept, share))
        if len(entries) == LONGEST:
            self.tally.add_up(self.estimator, self._like)

    def slots(self, batch_size: int) -> int:
        """Return how many variates of selection noise a step of M rows takes; 0 for none."""
        if self.terms is not None:
            return self.estimator.slots(self.terms)
        if self.rows is None and self.estimator.slots(1):
            raise ValueError(
                "expected a forward pass before noise is drawn, got none: the layer does not know "
                "yet how many patches an image has"
            )
        return self.estimator.slots(batch_size * (self.rows or 1))

    def products(self) -> dict[str, "Product"]:
        """Return this product alone, as a layer returns all of its products.

        A key of `Step.noise` is a product, or a layer of several products.
        """
        return {"": self}

    def _noise_of(self, step: Step) -> Array | None:
        """Return this product's selection noise [R or 1, slots] in a step; None without noise."""
        if not self._draws:
            return None
        if self in step.noise:
            return step.noise[self]
        for layer, values in step.noise.items():
            products = layer.products().values()
            if self in products:
                return _part(values, list(products), self)
        return None

    def spent(self) -> dict[str, Array]:
        """Return, and reset, the costs of all R replicas since the last call."""
        if self._like is None:
            return {}
        bill = self.tally.spent(self.estimator, self._like)
        if self.extra_flops:
            xp, R = array_module(self._like), len(self._like)
            flops = xp.full(R, float(self.extra_flops))
            extra = {"flops": flops, "overhead_flops": flops}
            bill = add_up(extra, bill)
        self.extra_flops = 0
        return bill

    def observations(self) -> dict[str, Array]:
        """Return, and reset, the measurements of the estimator."""
        if self.state is None:
            return {}
        return self.estimator.observations(self.state)


def _part(noise: Array, products: list[Product], wanted: Product) -> Array:
    """Return the part of a layer's noise that belongs to the product `wanted`.

    The parts lie one after another. Only the last product sums over the rows of the batch; it takes
    all variates that are left.
    """
    start = 0
    for product in products:
        if product is wanted:
            break
        start += product.slots(0)
    if wanted is products[-1]:
        return noise[..., start:]
    end = start + wanted.slots(0)
    return noise[..., start:end]
