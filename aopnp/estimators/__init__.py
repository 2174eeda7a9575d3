"""Estimators of one sum of outer products, and everything that they are made of.

Scores, policies and memories are sub-packages; the factored result, the costs and the step are
modules. A new estimator is one file and one line in the table ESTIMATORS.
"""

from aopnp.estimators.aop import AOP
from aopnp.estimators.automatic import Automatic
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.expected_cost import Cost, expected_cost
from aopnp.estimators.outer_products import OuterProducts
from aopnp.estimators.stacked import Stacked, side_by_side, stack
from aopnp.estimators.step import EVALUATION, Step
from aopnp.estimators.term_counts import EpochRatios, Ratio
from aopnp.estimators.watched import Watched

ESTIMATORS: dict[str, type[Estimator]] = {
    "exact": Exact,
    "aop": AOP,
    "automatic": Automatic,
    "watched": Watched,
}

__all__ = [
    "AOP",
    "ESTIMATORS",
    "EVALUATION",
    "Automatic",
    "Cost",
    "EpochRatios",
    "Estimator",
    "Exact",
    "OuterProducts",
    "Ratio",
    "Stacked",
    "Step",
    "Watched",
    "expected_cost",
    "side_by_side",
    "stack",
]
