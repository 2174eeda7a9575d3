"""Sampling by enumeration: how often rows should be selected, and how far an estimate should be off.

Successive sampling makes K draws without replacement, one after another, each with probability proportional to the
score, renormalised over the rows not yet drawn. For a few rows all ordered outcomes can be listed, so the
probabilities are exact.

A rescaled policy estimates C = sum of a_i b_i^T, w_i = |a_i b_i^T|, with a mean square error E|estimate - C|^2 that
has a formula. Noise can be listed, too: one *atom* for every outcome, with its probability.

    def test_my_policy(a, b, k):
        p = my_probabilities(...)
        mean, error = sampling.moments(my_policy, a, b, k, *sampling.independent_atoms(p))
        # mean == a.T @ b, error == sampling.independent_error(w, p)
"""

from itertools import permutations, product

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.kernels import log_norms
from aopnp.estimators.policies import Policy


def pair_probabilities(scores: Array, k: int) -> Array:
    """Return P[i, j], the probability that rows i and j are both among the k drawn; P[i, i] that i is. scores [M]."""
    P = np.zeros((len(scores), len(scores)))
    for drawn in permutations(range(len(scores)), k):
        left = np.cumsum(np.concatenate([[0.0], scores[list(drawn[:-1])]]))
        P[np.ix_(drawn, drawn)] += np.prod(scores[list(drawn)] / (scores.sum() - left))
    return P


def pair_z(rows: Array, scores: Array) -> Array:
    """Return z [M, M] of the pair frequencies among independent selections rows [n, K] against `pair_probabilities`.

    A pair that never (or always) occurs has z 0 if that is what is expected, else infinity.
    """
    n, k = rows.shape
    drawn = (rows[..., None] == np.arange(len(scores))).any(1).astype(float)
    expected = pair_probabilities(scores, k)
    off = drawn.T @ drawn / n - expected
    error = np.sqrt(np.clip(expected * (1 - expected), 0, None) / n)
    return np.where(
        error > 1e-12, off / np.maximum(error, 1e-12), np.where(np.abs(off) < 1e-9, 0, np.inf)
    )


def replacement_error(w: Array, P: Array, C: Array, k: int) -> float:
    """Return E|error|^2 of k draws with replacement by P [n] at weights 1 / (k P): (sum of w^2 / P - |C|^2) / k."""
    drawn = w > 0
    return float((np.sum(w[drawn] ** 2 / P[drawn]) - np.sum(C**2)) / k)


def independent_error(w: Array, p: Array) -> float:
    """Return E|error|^2 where row i is kept with probability p_i at weight 1 / p_i: sum of (1 - p) / p w^2."""
    drawn = w > 0
    return float(np.sum((1 - p[drawn]) / p[drawn] * w[drawn] ** 2))


def uniform_error(w: Array, C: Array, k: int) -> float:
    """Return E|error|^2 of k distinct rows at weight n / k: n (n - k) / (k (n - 1)) (sum of w^2 - |C|^2 / n)."""
    n = len(w)
    return float(n * (n - k) / (k * max(n - 1, 1)) * (np.sum(w**2) - np.sum(C**2) / n))


def winner_error(w: Array, C_tail: Array, c: int, k: int) -> float:
    """Return E|error|^2 where the c largest rows are kept and k - c drawn by w from the others, whose sum is C_tail."""
    tail = np.sort(w)[: len(w) - c]
    return (
        replacement_error(tail, tail / max(tail.sum(), np.finfo(float).tiny), C_tail, k - c)
        if tail.any()
        else 0.0
    )


def gumbel_of(uniforms: Array) -> Array:
    """Return the standard Gumbel noise that the uniform variates are made into."""
    return -np.log(-np.log(uniforms))


def independent_atoms(p: Array) -> tuple[Array, Array]:
    """Return (noise [A, n], probability [A]): every subset of n rows kept independently with probabilities p [n]."""
    kept = np.array(list(product([True, False], repeat=len(p))))
    probability = np.where(kept, p, 1 - p).prod(-1)
    possible = probability > 0
    return gumbel_of(
        np.where(kept, p / 2, (1 + p) / 2)[possible].clip(1e-9, 1 - 1e-9)
    ), probability[possible]


def replacement_atoms(P: Array, k: int, first: int = 0) -> tuple[Array, Array]:
    """Return (noise [A, n], probability [A]): every sequence of rows drawn by P [n] for the variates `first` to k - 1.

    A draw takes the row in whose stretch of the running sum of P the uniform variate lies.
    """
    possible = np.flatnonzero(P)
    drawn = np.array(list(product(possible, repeat=k - first)), dtype=int).reshape(-1, k - first)
    uniforms = np.full((len(drawn), len(P)), 0.5)
    uniforms[:, first:k] = (np.cumsum(P) - P / 2)[drawn]
    return gumbel_of(uniforms), P[drawn].prod(-1)


def permutation_atoms(n: int) -> tuple[Array, Array]:
    """Return (noise [n!, n], probability [n!]): every order of the n keys."""
    orders = np.array(list(permutations(range(n))))
    return orders.astype(float), np.full(len(orders), 1 / len(orders))


def moments(
    policy: Policy, a: Array, b: Array, k: int, noise: Array, probability: Array
) -> tuple[Array, float]:
    """Return the mean [N, P] and the mean square error of the estimate of a^T b by k of n rows; a [n, N], b [n, P].

    noise [A, n] holds the outcomes, which are replicas of one call; `probability` [A] may be 1 / A of random ones.
    """
    off = estimates(policy, a, b, k, noise) - a.T @ b
    return a.T @ b + np.tensordot(probability, off, 1), float(probability @ np.sum(off**2, (1, 2)))


def estimates(policy: Policy, a: Array, b: Array, k: int, noise: Array) -> Array:
    """Return the estimate [A, N, P] of a^T b for each row of noise [A, n]; a [n, N], b [n, P]."""
    A = len(noise)
    selection = policy(np.tile(log_norms(a[None], b[None]), (A, 1)), noise, np.full(A, k))
    kept = np.arange(selection.rows.shape[1]) < selection.count[:, None]
    scaled = np.where(kept, selection.weights, 0)[..., None] * a[selection.rows]
    return scaled.swapaxes(1, 2) @ b[selection.rows]
