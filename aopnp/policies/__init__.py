"""Policies: which K of the M outer products to keep. A new one is one file and one line in this table."""

from aopnp.policies.largest_keys import LargestKeys, k_best, randk, topk, weightedk
from aopnp.policies.policy import Policy, Selection

POLICIES: dict[str, Policy] = {
    "topk": topk,
    "weightedk": weightedk,
    "randk": randk,
}

__all__ = ["POLICIES", "LargestKeys", "Policy", "Selection", "k_best", "randk", "topk", "weightedk"]
