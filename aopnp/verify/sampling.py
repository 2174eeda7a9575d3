"""Sampling by enumeration: the exact frequencies of selected rows, the exact errors of estimates.

Successive sampling makes K draws without replacement, one after another. Each has probability
proportional to the score, renormalised over the rows not yet drawn. For a few rows all ordered
outcomes can be listed, so the probabilities are exact.

A rescaled policy estimates C = sum of a_i b_i^T, with w_i = |a_i b_i^T|. Its mean square error
E|estimate - C|^2 has a formula. Noise can be listed, too: one *atom* for every outcome, with its
probability.

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
    """Return P [M, M] of k successive draws by scores [M].

    P[i, j] is the probability that rows i and j are both drawn, and P[i, i] that row i is.
    """
    M = len(scores)
    P = np.zeros((M, M))
    for drawn in permutations(range(M), k):
        of_drawn = scores[list(drawn)]
        taken = np.cumsum(np.concatenate([[0.0], of_drawn[:-1]]))
        left = scores.sum() - taken
        P[np.ix_(drawn, drawn)] += np.prod(of_drawn / left)
    return P


def pair_z(rows: Array, scores: Array) -> Array:
    """Return the z values [M, M] of the pair frequencies in n independent selections rows [n, K].

    The frequencies are compared with `pair_probabilities`. A pair that never (or always) occurs has
    z = 0 if this is expected, else infinity.
    """
    n, k = rows.shape
    selected = (rows[..., None] == np.arange(len(scores))).any(1)
    drawn = selected.astype(float)
    frequency = drawn.T @ drawn / n
    expected = pair_probabilities(scores, k)
    off = frequency - expected
    variance = np.clip(expected * (1 - expected), 0, None)
    error = np.sqrt(variance / n)
    z = off / np.maximum(error, 1e-12)
    certain = np.where(np.abs(off) < 1e-9, 0, np.inf)
    return np.where(error > 1e-12, z, certain)


def replacement_error(w: Array, P: Array, C: Array, k: int) -> float:
    """Return E|error|^2 of k draws with replacement by P [n] at weights 1 / (k P).

    It is (sum of w^2 / P - |C|^2) / k.
    """
    positive = w > 0
    total = np.sum(w[positive] ** 2 / P[positive])
    return float((total - np.sum(C**2)) / k)


def independent_error(w: Array, p: Array) -> float:
    """Return E|error|^2 where row i is kept with probability p_i at weight 1 / p_i.

    It is the sum of (1 - p) / p w^2.
    """
    positive = w > 0
    w, p = w[positive], p[positive]
    return float(np.sum((1 - p) / p * w**2))


def uniform_error(w: Array, C: Array, k: int) -> float:
    """Return E|error|^2 of k distinct rows, all equally likely, at weight n / k.

    It is n (n - k) / (k (n - 1)) (sum of w^2 - |C|^2 / n).
    """
    n = len(w)
    factor = n * (n - k) / (k * max(n - 1, 1))
    return float(factor * (np.sum(w**2) - np.sum(C**2) / n))


def winner_error(w: Array, C_tail: Array, c: int, k: int) -> float:
    """Return E|error|^2 where the c largest rows are kept and k - c of the tail are drawn by w.

    The tail are all remaining rows, and C_tail is the sum of their outer products.
    """
    tail = np.sort(w)[: len(w) - c]
    if not tail.any():
        return 0.0
    P = tail / max(tail.sum(), np.finfo(float).tiny)
    return replacement_error(tail, P, C_tail, k - c)


def gumbel_of(uniforms: Array) -> Array:
    """Return the standard Gumbel noise that is made of the uniform variates."""
    return -np.log(-np.log(uniforms))


def independent_atoms(p: Array) -> tuple[Array, Array]:
    """Return (noise [A, n], probability [A]) of all subsets of n rows.

    The rows are kept independently, with probabilities p [n]. Impossible subsets are left out.
    """
    subsets = product([True, False], repeat=len(p))
    kept = np.array(list(subsets))
    probability = np.where(kept, p, 1 - p).prod(-1)
    possible = probability > 0
    # A row is kept where u <= p: take the middle of either side.
    uniforms = np.where(kept, p / 2, (1 + p) / 2)[possible]
    noise = gumbel_of(uniforms.clip(1e-9, 1 - 1e-9))
    return noise, probability[possible]


def replacement_atoms(P: Array, k: int, first: int = 0) -> tuple[Array, Array]:
    """Return (noise [A, n], probability [A]) of all sequences of rows drawn by P [n].

    The variates `first` to k - 1 draw, with replacement. Every row has a stretch of length P in the
    running sum of P, and a draw takes the row with the stretch that the uniform variate falls on.
    """
    possible = np.flatnonzero(P)
    draws = k - first
    sequences = product(possible, repeat=draws)
    drawn = np.array(list(sequences), dtype=int).reshape(-1, draws)
    middles = np.cumsum(P) - P / 2
    uniforms = np.full((len(drawn), len(P)), 0.5)
    uniforms[:, first:k] = middles[drawn]
    return gumbel_of(uniforms), P[drawn].prod(-1)


def permutation_atoms(n: int) -> tuple[Array, Array]:
    """Return (noise [n!, n], probability [n!]) of all orders of the n keys."""
    orders = np.array(list(permutations(range(n))))
    probability = np.full(len(orders), 1 / len(orders))
    return orders.astype(float), probability


def moments(
    policy: Policy, a: Array, b: Array, k: int, noise: Array, probability: Array
) -> tuple[Array, float]:
    """Return the mean [N, P] and the mean square error of the estimate of a^T b by k of n rows.

    a is [n, N] and b [n, P]. noise [A, n] holds the outcomes, which are replicas of one call.
    probability [A] may be 1 / A for random outcomes.
    """
    exact = a.T @ b
    off = estimates(policy, a, b, k, noise) - exact
    mean = exact + np.tensordot(probability, off, 1)
    error = probability @ np.sum(off**2, (1, 2))
    return mean, float(error)


def estimates(policy: Policy, a: Array, b: Array, k: int, noise: Array) -> Array:
    """Return the estimate [A, N, P] of a^T b for each row of noise [A, n]; a [n, N], b [n, P]."""
    A = len(noise)
    scores = np.tile(log_norms(a[None], b[None]), (A, 1))
    selection = policy(scores, noise, np.full(A, k))
    rows = selection.rows
    listed = np.arange(rows.shape[1]) < selection.count[:, None]
    weights = np.where(listed, selection.weights, 0)
    scaled = weights[..., None] * a[rows]
    return scaled.swapaxes(1, 2) @ b[rows]
