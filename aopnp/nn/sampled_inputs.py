"""The inputs that a sampled forward product keeps: a narrower layer, differentiated through the sample.

    Y = (X s) W        dW = (X s)^T G        dX = (G W^T) s        s_i the weight of input i, 0 where it is left out

(Adelman et al. 2021, arXiv 1805.08079.) Only the kept columns of X and rows of W are multiplied. In a
convolution an input is a channel, and corresponds to as many rows of W as the kernel has taps.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import gather_columns, scatter_columns
from aopnp.estimators.outer_products import Gradient, dense
from aopnp.estimators.policies import Selection
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.input_product import InputProduct


@dataclass(frozen=True)
class SampledInputs:
    """`selection` among the `inputs` columns (features, or channels) of a layer's input.

    `axes` is the number of axes behind the replicas: 2 of rows [M, N], 4 of images [M, H, W, C].
    """

    selection: Selection
    inputs: int
    axes: int

    @property
    def share(self) -> Array:
        """Return the share of the inputs that is kept, float64 [R]."""
        return self.selection.count / self.inputs

    def take(self, x: Array) -> Array:
        """Return the kept columns, scaled, [..., R, M, ..., K] of x [..., R or 1, M, ..., N]."""
        return self._gathered(x, self.selection.weights, self.axes)

    def put(self, g: Array) -> Array:
        """Return the transpose of `take`: g [R, ..., K] times s in its places, zero elsewhere [R, ..., N]."""
        return self._scattered(g, self.selection.weights)

    def in_place(self, x: Array) -> Array:
        """Return kept columns [R, ..., taps K] in the places of all inputs [R, ..., taps N], zero elsewhere."""
        by_tap = x.reshape(*x.shape[:-1], -1, self._kept)
        return self._scattered(by_tap, self._ones).reshape(*x.shape[:-1], -1)

    def take_weights(self, w: Array) -> Array:
        """Return the rows [..., R, taps K, P] of w [..., R, taps N, P] of the kept inputs, unscaled."""
        kept = self._gathered(self._by_tap(w, self.inputs), self._ones, 3)
        return kept.reshape(*kept.shape[:-2], -1).swapaxes(-1, -2)

    def put_weights(self, gradient: Gradient) -> Array:
        """Return the gradient [R, taps N, P] of all weights from that of the kept rows [R, taps K, P]."""
        wide = self._scattered(self._by_tap(dense(gradient), self._kept), self._ones)
        return wide.reshape(*wide.shape[:2], -1).swapaxes(-1, -2)

    def weight_gradient(self, product: Product, x: Array, g: Array, step: Step) -> Gradient:
        """Return the estimate of (X s)^T G [R, taps N, P] from the kept columns x [R, rows, taps K].

        A memory refers to inputs by their places, and other inputs are kept in the next step: such an
        estimator sees all inputs.
        """
        xp, wide = array_module(x), np.asarray(product.estimator.refers_to_places)
        product.share = xp.where(xp.asarray(wide), 1.0, self.share)
        if wide.any():
            gradient = product(self.in_place(x), g, step)
        else:
            gradient = self.put_weights(product(x, g, step))
        product.share = None
        return gradient

    def input_gradient(self, product: InputProduct, g: Array, w: Array, step: Step) -> Array:
        """Return the estimate of G W^T [R, rows, taps K] for the rows w [R, taps K, P] of kept inputs."""
        product.share = self.share
        dx = product.estimate(g, w, step)
        product.share = None
        return dx

    @property
    def _kept(self) -> int:
        return self.selection.rows.shape[1]

    @property
    def _ones(self) -> Array:
        return array_module(self.selection.weights).ones_like(self.selection.weights)

    @staticmethod
    def _by_tap(w: Array, inputs: int) -> Array:
        """Return w [..., taps inputs, P] as [..., P, taps, inputs]: a view of weights as a layer stores them."""
        transposed = w.swapaxes(-1, -2)
        return transposed.reshape(*transposed.shape[:-1], -1, inputs)

    def _gathered(self, x: Array, weights: Array, axes: int) -> Array:
        xp, chosen = array_module(x), self.selection
        rows, count, R = chosen.rows, chosen.count, len(chosen.rows)
        leading, replicas = x.shape[: -axes - 1], x.shape[-axes - 1]
        if leading:  # several directions: each of them takes the sample of its replica
            J, replicas = prod(leading), prod(leading) * R
            x = xp.broadcast_to(x, (*leading, R, *x.shape[-axes:]))
            rows, weights, count = (
                xp.tile(rows, (J, 1)),
                xp.tile(weights, (J, 1)),
                xp.tile(count, J),
            )
        flat = xp.ascontiguousarray(x.reshape(replicas, -1, self.inputs))
        kept = gather_columns(flat, rows, weights, count)
        return kept.reshape(*leading, R, *x.shape[-axes:-1], -1)

    def _scattered(self, g: Array, weights: Array) -> Array:
        xp, chosen = array_module(g), self.selection
        flat = xp.ascontiguousarray(g.reshape(len(g), -1, g.shape[-1]))
        out = scatter_columns(flat, chosen.rows, weights, chosen.count, N=self.inputs)
        return out.reshape(len(g), *g.shape[1:-1], -1)
