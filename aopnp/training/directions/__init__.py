"""Directions of forward gradients: strategies, the estimate made with them, and its measured error.

A new strategy is one file and one line in the table DIRECTIONS. The tests, the experiments and the
figures run through the table.
"""

from aopnp.training.directions.activity import Activity
from aopnp.training.directions.aligned import Aligned, AlignedState
from aopnp.training.directions.anchor import Anchor, AnchorState
from aopnp.training.directions.derivative_sign import DerivativeSign
from aopnp.training.directions.diagnose import Measured, measure
from aopnp.training.directions.estimate import estimate_gradient
from aopnp.training.directions.frame import Frame, Projection
from aopnp.training.directions.gaussian import Gaussian
from aopnp.training.directions.orthogonal import Orthogonal, Ring
from aopnp.training.directions.rademacher import Rademacher
from aopnp.training.directions.row_space import RowSpace
from aopnp.training.directions.shared import Shared
from aopnp.training.directions.sphere import Sphere
from aopnp.training.directions.strategy import ForwardPass, Strategy

DIRECTIONS: dict[str, type[Strategy]] = {
    "gaussian": Gaussian,
    "rademacher": Rademacher,
    "sphere": Sphere,
    "frame": Frame,
    "projection": Projection,
    "sign": DerivativeSign,
    "shared": Shared,
    "row_space": RowSpace,
    "activity": Activity,
    "anchor": Anchor,
    "aligned": Aligned,
    "orthogonal": Orthogonal,
}

__all__ = [
    "DIRECTIONS",
    "Activity",
    "Aligned",
    "AlignedState",
    "Anchor",
    "AnchorState",
    "DerivativeSign",
    "ForwardPass",
    "Frame",
    "Gaussian",
    "Measured",
    "Orthogonal",
    "Projection",
    "Rademacher",
    "Ring",
    "RowSpace",
    "Shared",
    "Sphere",
    "Strategy",
    "estimate_gradient",
    "measure",
]
