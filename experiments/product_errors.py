"""How far approximate products are off, on random matrices (arXiv 1805.08079, notebook; section 3 of the paper).

    error = |estimate - A B|_F / (|A|_F |B|_F)        A, B size x size, independent entries N(1, 1) or N(0, 1)

Drawn anew for every repeat; repeats are replicas, so that a policy answers for many of them in one call.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aopnp.arrays.backend import Array
from aopnp.arrays.kernels import gather, log_norms
from aopnp.estimators.policies import POLICIES
from aopnp.verify.comparison import LowRank

FAMILIES = {"mean1": 1.0, "mean0": 0.0}
"""Name of a family of matrices -> mean of their entries, whose variance is 1."""

METHODS = (*(name for name in POLICIES if not name.startswith("energy")), "low_rank")
"""Every policy that keeps a given number of outer products, and truncated factors beside them."""

CHUNK = 50
"""Repeats in one call: 50 times a few matrices of 100 x 100 stay in the processor's caches."""


def errors(
    family: str, size: int, repeats: int, ks: Sequence[int], seed: int
) -> Iterator[tuple[int, Array]]:
    """Yield (repeats done, errors float64 [methods, ks, repeats of the chunk]) until all repeats are done.

    A repeat depends on (seed, family, its number) alone, and all methods and K of it share matrices and noise.
    """
    for first in range(0, repeats, CHUNK):
        count = min(CHUNK, repeats - first)
        drawn = [_draw(family, size, seed, repeat) for repeat in range(first, first + count)]
        a, b, noise = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
        with threadpool_limits(1):  # threads only get in each other's way in products this small
            chunk = _errors_of(a, b, noise, ks)
        yield first + count, chunk


def summary(every: Array, ks: Sequence[int]) -> dict[str, Any]:
    """Return mean, standard deviation and root mean square over the repeats of errors [methods, ks, repeats]."""
    return {
        name: {
            "k": list(ks),
            "mean": one.mean(-1).tolist(),
            "std": one.std(-1).tolist(),
            "rms": np.sqrt(np.mean(one**2, -1)).tolist(),
        }
        for name, one in zip(METHODS, every, strict=True)
    }


def _draw(family: str, size: int, seed: int, repeat: int) -> tuple[Array, Array, Array]:
    """Return A transposed, B [size, size] and Gumbel noise [size] of one repeat."""
    key = (list(FAMILIES).index(family), repeat)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    a, b = generator.normal(FAMILIES[family], 1, (2, size, size))
    return a, b, generator.gumbel(size=size)


def _errors_of(a: Array, b: Array, noise: Array, ks: Sequence[int]) -> Array:
    exact, scale = a.swapaxes(1, 2) @ b, _norm(a) * _norm(b)
    scores, low_rank = log_norms(a, b), LowRank(a.swapaxes(1, 2), b)

    def estimate(method: str, k: int) -> Array:
        if method == "low_rank":
            return low_rank(k)
        selection = POLICIES[method](scores, noise, np.full(len(a), k))
        kept_a, kept_b = gather(a, b, selection.rows, selection.weights, selection.count)
        return kept_a.swapaxes(1, 2) @ kept_b

    return np.array(
        [[_norm(estimate(method, k) - exact) / scale for k in ks] for method in METHODS]
    )


def _norm(x: Array) -> Array:
    return np.sqrt(np.einsum("rij,rij->r", x, x))
