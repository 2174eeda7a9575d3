"""What an estimator is: a cheaper answer to the question `X^T G`."""

from typing import Any

from aopnp.backend import Array
from aopnp.outer_products import Gradient


class Estimator:
    """Estimate the weight gradient `X^T G = sum over m of x_m g_m^T`; frozen, while its state lives with the layer."""

    def slots(self, batch_size: int) -> int:
        """Return how many variates of selection noise a step of M rows takes; 0 for none."""
        return 0

    def start(self, x: Array, g: Array) -> Any:
        """Return the state before the first step, for inputs shaped like x [R or 1, M, N] and g [R, M, P]."""
        return ()

    def __call__(self, x: Array, g: Array, state: Any, noise: Array | None, lr: Array) -> Gradient:
        """Return the estimate [R, N, P] of X^T G and update `state` in place.

        x [R or 1, M, N] is the layer's input, g [R, M, P] the gradient of the mean loss at its output, noise
        [R or 1, slots] standard Gumbel, lr [R or 1] the step size.
        """
        raise NotImplementedError

    def observations(self, state: Any) -> dict[str, Array]:
        """Return, and reset, what was measured since the last call: name -> mean [R]."""
        return {}
