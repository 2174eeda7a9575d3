"""Directions of forward gradients. A new strategy is one file and one line here; laws and figures run through all."""

from aopnp.directions.activity import Activity
from aopnp.directions.aligned import Aligned, AlignedState
from aopnp.directions.anchor import Anchor, AnchorState
from aopnp.directions.diagnose import Measured, measure
from aopnp.directions.estimate import estimate
from aopnp.directions.frame import Frame, Projection
from aopnp.directions.gaussian import Gaussian
from aopnp.directions.orthogonal import Orthogonal, Ring
from aopnp.directions.rademacher import Rademacher
from aopnp.directions.row_space import RowSpace
from aopnp.directions.shared import Shared
from aopnp.directions.sign import Sign
from aopnp.directions.sphere import Sphere
from aopnp.directions.strategy import Strategy, Trace

DIRECTIONS: dict[str, type[Strategy]] = {
    "gaussian": Gaussian,
    "rademacher": Rademacher,
    "sphere": Sphere,
    "frame": Frame,
    "projection": Projection,
    "sign": Sign,
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
    "Frame",
    "Gaussian",
    "Measured",
    "Orthogonal",
    "Projection",
    "Rademacher",
    "Ring",
    "RowSpace",
    "Shared",
    "Sign",
    "Sphere",
    "Strategy",
    "Trace",
    "estimate",
    "measure",
]
