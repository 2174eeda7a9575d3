"""Policies: the rules that decide which of the M outer products of a sum to keep.

A new policy is one file and one line in the table POLICIES.
"""

from aopnp.estimators.policies.clipped import ClippedBernoulli, bernoulli_clipped
from aopnp.estimators.policies.column_row import ColumnRowSampling, crs, crs_uniform
from aopnp.estimators.policies.combine import complete, every_row, side_by_side_selections
from aopnp.estimators.policies.energy import EnergySampling, EnergyTopK
from aopnp.estimators.policies.first import FirstK, firstk
from aopnp.estimators.policies.largest_keys import (
    LargestKeys,
    k_best,
    randk,
    topk,
    weighted,
    weightedk,
)
from aopnp.estimators.policies.policy import Policy, Selection
from aopnp.estimators.policies.reference import ReferenceBernoulli, bernoulli_reference
from aopnp.estimators.policies.uniform import UniformSampling, uniform
from aopnp.estimators.policies.water_filled import WaterFilledBernoulli, bernoulli
from aopnp.estimators.policies.winner_take_all import WinnerTakeAll, wta

POLICIES: dict[str, Policy] = {
    # Every kept product counts once.
    "topk": topk,
    "weightedk": weightedk,
    "randk": randk,
    "weighted": weighted,
    "firstk": firstk,
    # The kept products are rescaled, so that the estimate is unbiased.
    "bernoulli": bernoulli,
    "wta": wta,
    "crs": crs,
    "crs_uniform": crs_uniform,
    "uniform": uniform,
    "bernoulli_clipped": bernoulli_clipped,
    "bernoulli_reference": bernoulli_reference,
    # The number kept follows the data: as many as hold nine tenths of the scores, but at least k.
    "energy": EnergyTopK(share=0.9),
    "energy_sampling": EnergySampling(share=0.9),
}

PAPER_POLICIES = ("topk", "weightedk", "randk")
"""The names of the three policies of the Mem-AOP-GD paper (arXiv 2110.09164)."""

__all__ = [
    "PAPER_POLICIES",
    "POLICIES",
    "ClippedBernoulli",
    "ColumnRowSampling",
    "EnergySampling",
    "EnergyTopK",
    "FirstK",
    "LargestKeys",
    "Policy",
    "ReferenceBernoulli",
    "Selection",
    "UniformSampling",
    "WaterFilledBernoulli",
    "WinnerTakeAll",
    "bernoulli",
    "bernoulli_clipped",
    "bernoulli_reference",
    "complete",
    "crs",
    "crs_uniform",
    "every_row",
    "firstk",
    "k_best",
    "randk",
    "side_by_side_selections",
    "topk",
    "uniform",
    "weighted",
    "weightedk",
    "wta",
]
