"""Estimators of the weight gradient. A new one is one file and one line here."""

from aopnp.estimators.aop import AOP
from aopnp.estimators.automatic import Automatic
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.stacked import Stacked, side_by_side, stack
from aopnp.estimators.watched import Watched

ESTIMATORS: dict[str, type[Estimator]] = {
    "exact": Exact,
    "aop": AOP,
    "automatic": Automatic,
    "watched": Watched,
}

__all__ = ["AOP", "ESTIMATORS", "Automatic", "Estimator", "Exact", "Stacked", "Watched", "side_by_side", "stack"]
