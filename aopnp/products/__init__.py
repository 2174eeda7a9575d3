"""Approximate products that are no weighted sub-sum of outer products, for comparison. NumPy only."""

from aopnp.products.low_rank import LowRank
from aopnp.products.random_walks import random_walks

__all__ = ["LowRank", "random_walks"]
