"""The interface of a memory: the rule for the outer products that are not selected.

A memory offers candidates: this step's rows, perhaps merged with remembered ones. It learns which
of them were selected, and answers with the gradient estimate. Its state is a dataclass of arrays
that are updated in place.
"""

from typing import Any, NamedTuple

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.estimators.ledger import Overhead, Terms
from aopnp.estimators.outer_products import Gradient, OuterProducts
from aopnp.estimators.policies import Selection


class Candidates(NamedTuple):
    """The outer products a_m b_m^T among which a policy chooses."""

    a: Array
    """First factors [R or 1, n, N]."""
    b: Array
    """Second factors [R, n, P]."""
    log_norms: Array | None
    """Logarithm of the norm of each outer product, float64 [R, n]; -inf for an empty slot.

    None: not scored yet.
    """


class Memory:
    """The rule for the outer products that were not selected."""

    factored: bool = True
    """Whether it holds pairs of vectors, and `keep` returns the kept pairs unchanged."""

    def slots(self, batch_size: int) -> int:
        """Return the number n of candidates for a batch of M rows; the M fresh rows come last."""
        return batch_size

    def start(self, x: Array, g: Array) -> Any:
        """Return the empty state for inputs shaped like x [R or 1, M, N] and g [R, M, P]."""
        raise NotImplementedError

    def candidates(self, state: Any, x: Array, g: Array, lr: Array | None) -> Candidates:
        """Return x [R or 1, M, N] and g [R, M, P], merged with remembered rows, as candidates.

        lr is the size of this step [R or 1], or None where the step size does not change.
        """
        raise NotImplementedError

    def keep(
        self,
        state: Any,
        candidates: Candidates,
        selection: Selection,
        kept: OuterProducts,
    ) -> Gradient:
        """Remember the rows that were not selected; return the gradient estimate [R, N, P]."""
        raise NotImplementedError

    def overhead(self, terms: Terms, kept: Array, A: float | Array) -> Overhead:
        """Return the cost of remembering in steps that kept `kept` [T, R] terms.

        A is the number of entries on the input side, a number or [T, R].
        """
        return Overhead()


def carry_over(decay: float | Array, lr_last: Array, lr: Array | None) -> Array:
    """Return rho = sqrt(decay lr_last / lr) [R], the factor of remembered rows; set lr_last to lr.

    This factor keeps the step size out of the memory: the estimate times lr is the paper's update
    under every schedule (arXiv 2110.09164, augment and remember). lr_last is [R], lr [R or 1], both
    on the host; lr is None where the step size has not changed. Raises ValueError unless lr > 0.
    """
    if lr is None:
        lr = lr_last
    if not lr.min() > 0:
        raise ValueError(
            f"expected step sizes > 0 while a memory is on, got {lr.min()}; "
            "train without memory where lr is 0"
        )
    rho = np.sqrt(decay * lr_last / lr)
    lr_last[...] = lr
    return rho


def check_decay(decay: float | Array) -> None:
    """Raise ValueError unless 0 <= decay <= 1 (a number or [R])."""
    given = np.asarray(decay)
    if not np.all((given >= 0) & (given <= 1)):
        raise ValueError(f"expected a memory decay from 0 to 1, got {decay}; 1 forgets nothing")
