"""Direct random target projection: not the error, but the target is sent back.

    e = -(onehot / M) @ B        (for the squared error: -2 t / (M P) @ B)

(Frenkel, Lefebvre and Bol 2021.) The error dloss/dy is replaced by its part that does not depend
on y: a layer could learn before the layers above it have computed anything.
"""

from aopnp.arrays.backend import Array
from aopnp.estimators.step import Step
from aopnp.nn.feedback.direct import Direct


class DRTP(Direct):
    """A fixed random B for the targets."""

    def error(self, step: Step) -> Array:
        super().error(step)
        assert step.loss is not None
        return -step.loss.target_part()
