"""The ledger: what is added up, for whom, and that a loop that never asks does not fill the
memory."""

import numpy as np
import pytest

from aopnp import AOP, Exact, QueueMemory, ResidualMemory, RowMemory, bernoulli, topk
from aopnp.estimators.ledger import SPENT, Terms
from aopnp.estimators.product import Product

TERMS = Terms(n=10, A=6, B=4, flops=48, itemsize=8)
LIKE = np.zeros((2, 3))


def total(estimator, kept, share=None, steps=1):
    product = Product(estimator)
    for _ in range(steps):
        product.count(TERMS, LIKE, kept, share)
    return {name: value.tolist() for name, value in product.spent().items()}


def test_exact_costs_its_product_and_nothing_else():
    expected = dict(zip(SPENT, ([480.0] * 2, [480.0] * 2, [0.0] * 2, [0.0] * 2), strict=True))
    assert total(Exact(), None) == expected
    assert total(Exact(), np.array([10, 10])) == expected


def test_replicas_that_keep_different_counts_of_narrower_terms():
    spent = total(AOP(topk, 5), np.array([5, 10]), np.array([1.0, 0.5]))
    scores = [2 * 10 * (6 + 4), 0]  # what keeps all is neither scored nor gathered
    assert spent["flops"] == [5 * 48 + scores[0], 10 * 24 + scores[1]]
    assert spent["overhead_flops"] == scores
    assert spent["bytes_moved"] == [2 * 8 * 5 * (6 + 4), 0]
    assert spent["exact_flops"] == [480, 480]


@pytest.mark.parametrize(
    ("estimator", "flops", "moved"),
    [
        (AOP(topk, 5), 0, 0),
        (AOP(bernoulli, 5), 5 * 4, 0),  # rescaling of the smaller factor
        (AOP(topk, 5, RowMemory()), 2 * 10 * 10, 3 * 8 * 10 * 10),
        (AOP(topk, 5, ResidualMemory()), 2 * 5 * 24 + 2 * 24, 4 * 8 * 24),
        (AOP(topk, 5, QueueMemory(7)), 3 * 7 * 10, 4 * 8 * 17 * 10),
    ],
)
def test_what_a_policy_and_a_memory_cost(estimator, flops, moved):
    spent = total(estimator, np.array([5, 5]))
    assert spent["overhead_flops"] == [200 + flops] * 2
    assert spent["bytes_moved"] == [800 + moved] * 2


def test_a_loop_that_never_asks_keeps_few_steps_and_loses_none(monkeypatch):
    monkeypatch.setattr("aopnp.estimators.product.LONGEST", 3)
    many = total(AOP(topk, 5), np.array([5, 6]), steps=10)
    assert many == {
        name: [10 * each for each in value]
        for name, value in total(AOP(topk, 5), np.array([5, 6])).items()
    }
    counted = Product(Exact())
    for _ in range(10):
        counted.count(TERMS, LIKE, None)
    assert len(counted.tally.entries) < 3
    assert counted.spent()["flops"].tolist() == [4800] * 2
    assert counted.spent() == {}
