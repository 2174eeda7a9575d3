"""The inputs that a sampled forward product keeps: a narrower layer, which is differentiated through the same sample.

    Y = (X s) W        dW = (X s)^T G        dX = (G W^T) s        s_i the weight of input i, 0 where it is left out

(Adelman et al. 2021, arXiv 1805.08079.) Only the kept columns of X and rows of W are multiplied. In a convolution an
input is a channel, and stands for as many rows of W as the kernel has taps.
"""

from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import gather_columns, scatter_columns
from aopnp.estimators.outer_products import Gradient, dense
from aopnp.estimators.policies import Selection


class AllInputs:
    """Nothing is sampled: everything passes as it is."""

    share = None

    def take(self, x: Array) -> Array:
        """Return x."""
        return x

    put = take_weights = take

    def put_weights(self, gradient: Gradient) -> Gradient:
        """Return the gradient."""
        return gradient


ALL_INPUTS = AllInputs()


@dataclass(frozen=True)
class KeptInputs:
    """`selection` of the `inputs` columns (features, or channels) that the layer's input has."""

    selection: Selection
    inputs: int

    @property
    def share(self) -> Array:
        """Return the share of the inputs that is kept, float64 [R]."""
        return self.selection.count / self.inputs

    def take(self, x: Array) -> Array:
        """Return the kept columns, scaled, [R, ..., K] of x [R or 1, ..., N]."""
        return self._gathered(x, self.selection.weights)

    def put(self, g: Array) -> Array:
        """Return the transpose of `take`: g [R, ..., K] times s in its places, zero elsewhere [R, ..., N]."""
        return self._scattered(g, self.selection.weights)

    def take_weights(self, w: Array) -> Array:
        """Return the rows [R, taps K, P] of w [R, taps N, P] that belong to the kept inputs, as they are."""
        kept = self._gathered(self._by_tap(w, self.inputs), self._ones)
        return kept.reshape(*kept.shape[:2], -1).swapaxes(-1, -2)

    def put_weights(self, gradient: Gradient) -> Array:
        """Return the gradient [R, taps N, P] of all weights from that of the kept ones [R, taps K, P]."""
        wide = self._scattered(
            self._by_tap(dense(gradient), self.selection.rows.shape[1]), self._ones
        )
        return wide.reshape(*wide.shape[:2], -1).swapaxes(-1, -2)

    @property
    def _ones(self) -> Array:
        return array_module(self.selection.weights).ones_like(self.selection.weights)

    @staticmethod
    def _by_tap(w: Array, inputs: int) -> Array:
        """Return w [R, taps inputs, P] as [R, P, taps, inputs]: a view where weights lie as a layer keeps them."""
        transposed = w.swapaxes(-1, -2)
        return transposed.reshape(*transposed.shape[:2], -1, inputs)

    def _gathered(self, x: Array, weights: Array) -> Array:
        xp, chosen = array_module(x), self.selection
        flat = xp.ascontiguousarray(x.reshape(len(x), -1, self.inputs))
        kept = gather_columns(flat, chosen.rows, weights, chosen.count)
        return kept.reshape(len(kept), *x.shape[1:-1], -1)

    def _scattered(self, g: Array, weights: Array) -> Array:
        xp, chosen = array_module(g), self.selection
        flat = xp.ascontiguousarray(g.reshape(len(g), -1, g.shape[-1]))
        out = scatter_columns(flat, chosen.rows, weights, chosen.count, N=self.inputs)
        return out.reshape(len(g), *g.shape[1:-1], -1)
