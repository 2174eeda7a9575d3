"""What is timed: one weight-gradient step of one layer, from the batch to the updated weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from aopnp import AOP, Exact, RowMemory, topk
from aopnp.arrays.backend import Array
from aopnp.estimators import Estimator, OuterProducts, Step
from aopnp.estimators.outer_products import add_scaled
from experiments.bench.row import Row, against
from experiments.bench.timing import interleaved

Work = Callable[[], None]
LR = 1e-3
SHARE = 8
"""M / K of all rows."""
LIMITS = {(1024, 4096, 4096): 0.17, (256, 1024, 1024): 0.22, (128, 784, 512): 0.22}
LOCK_STEP = 19
"""Replicas that share a minibatch in the paper's mnist grid."""


@dataclass(frozen=True)
class Problem:
    """x [R or 1, M, N], g [R, M, P] and weights [R, N, P], normal float32; `transposed`: in memory [R, P, N]."""

    x: Array
    g: Array
    w: Array


def problem(
    M: int, N: int, P: int, R: int = 1, *, shared: bool = True, transposed: bool = True
) -> Problem:
    """Return a layer's inputs, output gradients and weights; weights lie as `Dense` stores them if `transposed`."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1 if shared else R, M, N), np.float32)
    g = rng.standard_normal((R, M, P), np.float32)
    w = (
        np.zeros((R, P, N), np.float32).swapaxes(-1, -2)
        if transposed
        else np.zeros((R, N, P), np.float32)
    )
    return Problem(x, g, w)


def step(estimator: Estimator, on: Problem) -> Work:
    """Return a whole step: memory, selection, gather, product, and SGD's update of the weights in place."""
    state, lr = estimator.start(on.x, on.g), np.full(len(on.g), LR)
    at = Step(lr=lr)
    noise = np.zeros((1, on.x.shape[-2]))  # topk ignores it; a training loop draws it once an epoch

    def one_step() -> None:
        add_scaled(on.w, estimator(on.x, on.g, state, noise, at), -lr)

    return one_step


def outer_product_step(on: Problem, K: int) -> Work:
    """Return the step that keeps K rows by topk and remembers the others."""
    return step(AOP(topk, K, RowMemory()), on)


def product_alone(on: Problem, K: int) -> Work:
    """Return the product over K rows that lie ready, with the update of the weights."""
    ready = OuterProducts(on.x[:, :K].copy(), on.g[:, :K].copy(), np.full(len(on.g), K))
    return lambda: add_scaled(on.w, ready, -LR)


def step_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """The whole step against the exact one, and how much of it is not the product."""
    for (M, N, P), limit in LIMITS.items():
        on, K, size = problem(M, N, P), M // SHARE, f"(M, N, P) = ({M}, {N}, {P}), K/M = 1/{SHARE}"
        ours, exact, product = interleaved(
            repeats, outer_product_step(on, K), step(Exact(), on), product_alone(on, K)
        )
        yield against("AOP step / exact step", size, ours, ("exact", exact), limit)
        yield against(
            "all but the K-row product / exact step",
            size,
            max(0.0, ours - product),
            ("exact", exact),
            0.025,
        )


def layer_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """The mnist layer: alone, and a replica of 19 in lock-step that share the minibatch."""
    for R, name in ((1, "alone"), (LOCK_STEP, f"a replica of {LOCK_STEP} in lock-step")):
        stored, other = problem(64, 784, 10, R), problem(64, 784, 10, R, transposed=False)
        ours, *exact = interleaved(
            repeats,
            outer_product_step(stored, 64 // SHARE),
            step(Exact(), stored),
            step(Exact(), other),
        )
        better = ("exact, weights in memory as [P, N]", "exact, weights in memory as [N, P]")[
            int(np.argmin(exact))
        ]
        size = f"(64, 784, 10), K/M = 1/{SHARE}, {name}"
        yield against(
            "mnist layer / exact, better layout", size, ours / R, (better, min(exact) / R), 0.85
        )
