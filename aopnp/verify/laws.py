"""The laws of approximate outer products with memory: exact facts about any implementation.

Each law takes a `Maker` and a trial (`aopnp.verify.strategies.trials`), and raises AssertionError
where the implementation breaks it. Numbers refer to the list in the documentation of the algorithm:
conservation (1), bookkeeping and decay (2), limits (3), telescoping sums (4), symmetry (5) and
stacking (6). On integer-valued trials the laws are equalities, without a tolerance.
"""

from collections.abc import Sequence

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.verify.subject import Batch, Maker, Outcome, Setting


def product(x: Array, g: Array) -> Array:
    """Return X^T G [R, N, P]: the sum of all outer products."""
    return x.swapaxes(-1, -2) @ g


def selected_mask(rows: Array, slots: int) -> Array:
    """Return which of `slots` candidates are among rows [R, K], bool [R, slots]."""
    mask = np.zeros((len(rows), slots), bool)
    np.put_along_axis(mask, rows, True, axis=-1)
    return mask


def distinct_rows(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """K different rows are selected at every step, and they exist."""
    subject = make(setting)
    for batch in batches:
        rows = subject.step(batch).rows
        slots = batch.noise.shape[-1]
        assert rows.shape == (len(batch.g), setting.k), (
            f"expected {setting.k} rows a replica, got shape {rows.shape}"
        )
        assert rows.min() >= 0, f"row {rows.min()} selected"
        assert rows.max() < slots, f"row {rows.max()} of {slots} selected"
        different = selected_mask(rows, slots).sum(-1)
        assert (different == setting.k).all(), f"a row was selected twice: {rows}"


def estimate_is_the_selected_sum(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """Without memory the estimate is exactly the sum of the selected outer products.

    Nothing is rescaled by M/K.
    """
    subject = make(setting)
    for batch in batches:
        outcome = subject.step(batch)
        selected = _selected(outcome, batch)
        expected = product(batch.x * selected, batch.g)
        _equal(outcome.gradient, expected, "the sum of the selected outer products")


def conservation(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(1) Approximation plus memory equals the augmented product. (Row memory.)

    From an empty memory the augmented product is X^T G.
    """
    subject = make(setting)
    rho = np.sqrt(setting.decay)
    a, b = 0 * batches[0].x, 0 * batches[0].g
    for batch in batches:
        outcome = subject.step(batch)
        augmented = product(rho * a + batch.x, rho * b + batch.g)
        together = outcome.gradient + outcome.owed
        _equal(together, augmented, "approximation + memory = exact gradient")
        a, b = _memory(outcome)


def bookkeeping(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(2) Selected rows of the memory are zero, and all other rows accumulate. (Row memory.)

    Both factors do so, slot by slot.
    """
    subject = make(setting)
    rho = np.sqrt(setting.decay)
    a, b = 0 * batches[0].x, 0 * batches[0].g
    for batch in batches:
        outcome = subject.step(batch)
        selected = _selected(outcome, batch)
        a = np.where(selected, 0, rho * a + batch.x)
        b = np.where(selected, 0, rho * b + batch.g)
        a_mem, b_mem = _memory(outcome)
        _equal(a_mem, a, "accumulation of the inputs")
        _equal(b_mem, b, "accumulation of the gradients")


def decay_shrinks_the_product(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(2) With zero X and G the product in the memory shrinks by `decay`, not by its square."""
    subject = make(setting)
    for batch in batches:
        owed = subject.step(batch).owed
    outcome = subject.step(_zero(batches[-1]))
    together = outcome.gradient + outcome.owed
    _equal(together, setting.decay * owed, "decay of the remembered product")


def all_rows_are_exact(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(3) K = M gives the exact gradient at every step, under every policy and memory."""
    M = batches[0].g.shape[-2]
    subject = make(setting._replace(k=M, decay=1.0))
    for batch in batches:
        exact = product(batch.x, batch.g)
        _equal(subject.step(batch).gradient, exact, "K = M is exact")


def decay_zero_forgets(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(3) decay = 0 equals no memory, at every step."""
    forgetful = make(setting._replace(decay=0.0))
    plain = make(setting._replace(memory="none"))
    M = batches[0].g.shape[-2]
    for batch in batches:
        # Without memory there is noise for the fresh rows only; they come last.
        without = batch._replace(noise=batch.noise[..., -M:])
        estimate = forgetful.step(batch).gradient
        expected = plain.step(without).gradient
        _equal(estimate, expected, "decay 0 = no memory")


def telescoping(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(4) The updates plus the owed products always equal the sum of the exact gradients.

    (Residual memory, or a queue with room; decay 1.)
    """
    subject = make(setting)
    applied: Array | float = 0.0
    exact: Array | float = 0.0
    for batch in batches:
        outcome = subject.step(batch)
        applied = applied + outcome.gradient
        exact = exact + product(batch.x, batch.g)
        together = applied + outcome.owed
        _equal(together, exact, "sum of updates + owed = sum of exact gradients")


def residual_returns_whole(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(4) A zero batch after any step applies all that is owed. (Residual memory, decay 1.)"""
    for steps in range(1, len(batches) + 1):
        subject = make(setting)
        for batch in batches[:steps]:
            owed = subject.step(batch).owed
        outcome = subject.step(_zero(batches[0]))
        _equal(outcome.gradient, owed, "a zero batch applies the residual")
        _equal(outcome.owed, 0 * owed, "nothing is owed after it")


def queue_drains(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(4) topk empties the queue: n pairs are gone after ceil(n/K) zero batches. (Queue with room.)

    Each of the pairs is applied.
    """
    subject = make(setting._replace(policy="topk"))
    for batch in batches:
        owed = subject.step(batch).owed
    # The queue holds at most all rows of all batches.
    queued = len(batches) * batches[0].g.shape[-2]
    zero_batches = -(-queued // setting.k)
    returned = 0 * owed
    for _ in range(zero_batches):
        outcome = subject.step(_zero(batches[0]))
        returned = returned + outcome.gradient
    _equal(returned, owed, "the queue drains")


def permutation(make: Maker, setting: Setting, batches: Sequence[Batch], order: Array) -> None:
    """(5) Permuting rows and keys alike permutes the selection and leaves the estimate alone.

    (No ties, empty memory.)
    """
    batch = batches[0]
    permuted = Batch(batch.x[:, order], batch.g[:, order], batch.noise[:, order], batch.lr)
    here = make(setting).step(batch)
    there = make(setting).step(permuted)
    rows = np.sort(order[there.rows])
    _equal(rows, np.sort(here.rows), "the permuted selection")
    _equal(there.gradient, here.gradient, "the estimate of the permuted batch, bit for bit")


def scaling(make: Maker, setting: Setting, batches: Sequence[Batch], exponent: int) -> None:
    """(5) Scaling X or G by a power of two scales the estimate and leaves the selection alone.

    (No ties.)
    """
    batch = batches[0]
    factor = 2.0**exponent
    here = make(setting).step(batch)
    scaled_x = (factor * batch.x).astype(batch.x.dtype)
    scaled_g = (factor * batch.g).astype(batch.g.dtype)
    for scaled in (batch._replace(x=scaled_x), batch._replace(g=scaled_g)):
        there = make(setting).step(scaled)
        _equal(there.rows, here.rows, "the selection of the scaled batch")
        _equal(there.gradient, factor * here.gradient, "the scaled estimate")


def stacked_equals_alone(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(6) R replicas trained together equal each one alone, bit for bit (one BLAS thread)."""
    R = len(batches[0].g)
    together = make(setting)
    alone = [make(setting) for _ in range(R)]
    for batch in batches:
        outcome = together.step(batch)
        for r, subject in enumerate(alone):
            only = slice(r, r + 1)
            x, g, noise = batch.x[only], batch.g[only], batch.noise[only]
            one = subject.step(Batch(x, g, noise, batch.lr))
            _equal(outcome.gradient[r], one.gradient[0], "the estimate in a stack")
            _equal(outcome.owed[r], one.owed[0], "the memory in a stack")


def _equal(got: Array, expected: Array, law: str) -> None:
    np.testing.assert_array_equal(got, expected, err_msg=f"{law} does not hold")


def _selected(outcome: Outcome, batch: Batch) -> Array:
    """Return which rows of the batch were selected, bool [R, M, 1]."""
    M = batch.g.shape[-2]
    return selected_mask(outcome.rows, M)[..., None]


def _memory(outcome: Outcome) -> tuple[Array, Array]:
    assert outcome.memory is not None, (
        "this law is about the row memory, and the subject shows none"
    )
    return outcome.memory


def _zero(batch: Batch) -> Batch:
    """Return a batch of zero inputs and gradients, with the same noise."""
    return batch._replace(x=0 * batch.x, g=0 * batch.g)
