"""Approximate products that are no weighted sub-sum of outer products, for comparison. NumPy only."""

from aopnp.verify.comparison.low_rank import LowRank
from aopnp.verify.comparison.random_walks import random_walks

__all__ = ["LowRank", "random_walks"]
