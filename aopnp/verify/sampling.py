"""Successive sampling by enumeration: how often each row and each pair of rows should be selected.

K draws without replacement, one after another, each with probability proportional to the score, renormalised over
the rows not yet drawn. For a few rows all ordered outcomes can be listed, so the probabilities are exact.
"""

from itertools import permutations

import numpy as np

from aopnp.backend import Array


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
    return np.where(error > 1e-12, off / np.maximum(error, 1e-12), np.where(np.abs(off) < 1e-9, 0, np.inf))
