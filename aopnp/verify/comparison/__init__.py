"""Approximate products that are no weighted sub-sum of outer products, to compare with.

They take NumPy arrays only.
"""

from aopnp.verify.comparison.low_rank import LowRank
from aopnp.verify.comparison.random_walks import random_walks

__all__ = ["LowRank", "random_walks"]
