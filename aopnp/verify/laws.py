"""The laws of approximate outer products with memory: what is exactly true, for any implementation.

Each law takes a `Maker` and a trial (`aopnp.verify.strategies.trials`), and raises AssertionError where the
implementation breaks it. Numbers refer to the list in the documentation of the algorithm: conservation (1),
bookkeeping and decay (2), limits (3), telescoping sums (4), symmetry (5), stacking (6). On integer-valued trials
they are equalities.
"""

from collections.abc import Sequence

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.verify.subject import Batch, Maker, Outcome, Setting


def _equal(got: Array, expected: Array, law: str) -> None:
    np.testing.assert_array_equal(got, expected, err_msg=f"{law} does not hold")


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
        rows, slots = subject.step(batch).rows, batch.noise.shape[-1]
        assert rows.shape == (len(batch.g), setting.k), (
            f"expected {setting.k} rows a replica, got shape {rows.shape}"
        )
        assert rows.min() >= 0, f"row {rows.min()} selected"
        assert rows.max() < slots, f"row {rows.max()} of {slots} selected"
        assert (selected_mask(rows, slots).sum(-1) == setting.k).all(), (
            f"a row was selected twice: {rows}"
        )


def estimate_is_the_selected_sum(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """Without memory the estimate is exactly the sum of the selected outer products: nothing is rescaled by M/K."""
    subject = make(setting)
    for batch in batches:
        outcome = subject.step(batch)
        kept = selected_mask(outcome.rows, batch.g.shape[-2])[..., None]
        _equal(
            outcome.gradient,
            product(batch.x * kept, batch.g),
            "the sum of the selected outer products",
        )


def conservation(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(1) Approximation plus memory equals the augmented product: X^T G from an empty memory. (Row memory.)"""
    subject, rho = make(setting), np.sqrt(setting.decay)
    a, b = 0 * batches[0].x, 0 * batches[0].g
    for batch in batches:
        outcome = subject.step(batch)
        augmented = product(rho * a + batch.x, rho * b + batch.g)
        _equal(
            outcome.gradient + outcome.owed, augmented, "approximation + memory = exact gradient"
        )
        a, b = _memory(outcome)


def bookkeeping(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(2) Selected rows of the memory are zero, all others accumulate, slot by slot, in both factors. (Row memory.)"""
    subject, rho = make(setting), np.sqrt(setting.decay)
    a, b = 0 * batches[0].x, 0 * batches[0].g
    for batch in batches:
        outcome = subject.step(batch)
        kept = selected_mask(outcome.rows, batch.g.shape[-2])[..., None]
        a, b = np.where(kept, 0, rho * a + batch.x), np.where(kept, 0, rho * b + batch.g)
        _equal(_memory(outcome)[0], a, "accumulation of the inputs")
        _equal(_memory(outcome)[1], b, "accumulation of the gradients")


def decay_shrinks_the_product(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(2) With zero X and G the product that the memory holds shrinks by `decay`, not by its square."""
    subject = make(setting)
    for batch in batches:
        owed = subject.step(batch).owed
    zero = _zero(batches[-1])
    outcome = subject.step(zero)
    _equal(outcome.gradient + outcome.owed, setting.decay * owed, "decay of the remembered product")


def all_rows_are_exact(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(3) K = M gives the exact gradient at every step, under every policy and memory."""
    M = batches[0].g.shape[-2]
    subject = make(setting._replace(k=M, decay=1.0))
    for batch in batches:
        _equal(subject.step(batch).gradient, product(batch.x, batch.g), "K = M is exact")


def decay_zero_forgets(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(3) decay = 0 equals no memory, at every step."""
    subject, plain = make(setting._replace(decay=0.0)), make(setting._replace(memory="none"))
    for batch in batches:
        without = batch._replace(noise=batch.noise[..., -batch.g.shape[-2] :])
        _equal(subject.step(batch).gradient, plain.step(without).gradient, "decay 0 = no memory")


def telescoping(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(4) Sum of updates + what is owed = sum of exact gradients, always. (Residual; queue with room; decay 1.)"""
    subject = make(setting)
    applied: Array | float = 0.0
    exact: Array | float = 0.0
    for batch in batches:
        outcome = subject.step(batch)
        applied, exact = applied + outcome.gradient, exact + product(batch.x, batch.g)
        _equal(applied + outcome.owed, exact, "sum of updates + owed = sum of exact gradients")


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
    """(4) topk empties the queue: n pairs are gone after ceil(n/K) zero batches, each applied. (Queue with room.)"""
    subject = make(setting._replace(policy="topk"))
    for batch in batches:
        owed = subject.step(batch).owed
    queued = len(batches) * batches[0].g.shape[-2]  # at most
    returned = 0 * owed
    for _ in range(-(-queued // setting.k)):
        returned = returned + subject.step(_zero(batches[0])).gradient
    _equal(returned, owed, "the queue drains")


def permutation(make: Maker, setting: Setting, batches: Sequence[Batch], order: Array) -> None:
    """(5) Permuting rows and keys alike permutes the selection, not the estimate. (No ties, empty memory.)"""
    batch = batches[0]
    here = make(setting).step(batch)
    there = make(setting).step(
        Batch(batch.x[:, order], batch.g[:, order], batch.noise[:, order], batch.lr)
    )
    _equal(np.sort(order[there.rows]), np.sort(here.rows), "the permuted selection")
    _equal(there.gradient, here.gradient, "the estimate of the permuted batch, bit for bit")


def scaling(make: Maker, setting: Setting, batches: Sequence[Batch], exponent: int) -> None:
    """(5) Scaling X or G by a power of two scales the estimate and leaves the selection alone. (No ties.)"""
    batch, factor = batches[0], 2.0**exponent
    here = make(setting).step(batch)
    for scaled in (
        batch._replace(x=(factor * batch.x).astype(batch.x.dtype)),
        batch._replace(g=batch.g * factor),
    ):
        there = make(setting).step(scaled._replace(g=scaled.g.astype(batch.g.dtype)))
        _equal(there.rows, here.rows, "the selection of the scaled batch")
        _equal(there.gradient, factor * here.gradient, "the scaled estimate")


def stacked_equals_alone(make: Maker, setting: Setting, batches: Sequence[Batch]) -> None:
    """(6) Each of R replicas trained together does what it does alone, bit for bit (one BLAS thread)."""
    together = make(setting)
    alone = [make(setting) for _ in range(len(batches[0].g))]
    for batch in batches:
        outcome = together.step(batch)
        for r, subject in enumerate(alone):
            one = subject.step(
                Batch(batch.x[r : r + 1], batch.g[r : r + 1], batch.noise[r : r + 1], batch.lr)
            )
            _equal(outcome.gradient[r], one.gradient[0], "the estimate in a stack")
            _equal(outcome.owed[r], one.owed[0], "the memory in a stack")


def _memory(outcome: Outcome) -> tuple[Array, Array]:
    assert outcome.memory is not None, (
        "this law is about the row memory, and the subject shows none"
    )
    return outcome.memory


def _zero(batch: Batch) -> Batch:
    return batch._replace(x=0 * batch.x, g=0 * batch.g)
