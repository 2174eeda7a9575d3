"""The inputs that a sampled forward product keeps: with them the layer is a narrower one.

    Y = (X s) W        dW = (X s)^T G        dX = (G W^T) s

s_i is the weight of input i in the sample, and 0 where the input is left out (Adelman et al. 2021,
arXiv 1805.08079). Only the kept columns of X and rows of W are multiplied. In a convolution an
input is a channel, and corresponds to as many rows of W as the kernel has taps.
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
    """A `selection` among the `inputs` columns (features, or channels) of a layer's input.

    `axes` is the number of axes behind the replicas: 2 for rows [M, N], 4 for images [M, H, W, C].
    """

    selection: Selection
    inputs: int
    axes: int

    @property
    def share(self) -> Array:
        """Return the share of the inputs that is kept, float64 [R]."""
        return self.selection.count / self.inputs

    def take(self, x: Array) -> Array:
        """Return the kept columns of x [..., R or 1, M, ..., N] times s: [..., R, M, ..., K]."""
        return self._gathered(x, self.selection.weights, self.axes)

    def put(self, g: Array) -> Array:
        """Return the transpose of `take`: [R, ..., N] for g [R, ..., K].

        The columns of g are multiplied by s and put into their places; all other columns are zero.
        """
        return self._scattered(g, self.selection.weights)

    def in_place(self, x: Array) -> Array:
        """Return kept columns [R, ..., taps K] in their places among all inputs [R, ..., taps N].

        All other columns are zero.
        """
        by_tap = x.reshape(*x.shape[:-1], -1, self._kept)
        return self._scattered(by_tap, self._ones).reshape(*x.shape[:-1], -1)

    def take_weights(self, w: Array) -> Array:
        """Return the rows [..., R, taps K, P] of w [..., R, taps N, P] of kept inputs, unscaled."""
        kept = self._gathered(self._by_tap(w, self.inputs), self._ones, 3)
        return kept.reshape(*kept.shape[:-2], -1).swapaxes(-1, -2)

    def put_weights(self, gradient: Gradient) -> Array:
        """Return the gradient of all weights [R, taps N, P] from that of their kept rows.

        `gradient` is [R, taps K, P]; all other rows are zero.
        """
        by_tap = self._by_tap(dense(gradient), self._kept)
        wide = self._scattered(by_tap, self._ones)
        return wide.reshape(*wide.shape[:2], -1).swapaxes(-1, -2)

    def weight_gradient(self, product: Product, x: Array, g: Array, step: Step) -> Gradient:
        """Return the estimate of (X s)^T G [R, taps N, P] from kept columns x [R, rows, taps K].

        A memory refers to inputs by their places, and the next step keeps a different sample of
        them: an estimator with a memory therefore sees all inputs, with zeros for the ones left
        out.
        """
        xp = array_module(x)
        sees_all = np.asarray(product.estimator.refers_to_places)
        product.share = xp.where(xp.asarray(sees_all), 1.0, self.share)
        if sees_all.any():
            gradient = product(self.in_place(x), g, step)
        else:
            gradient = self.put_weights(product(x, g, step))
        product.share = None
        return gradient

    def input_gradient(self, product: InputProduct, g: Array, w: Array, step: Step) -> Array:
        """Return the estimate of G W^T [R, rows, taps K] for the kept rows w [R, taps K, P]."""
        product.share = self.share
        dx = product.estimate(g, w, step)
        product.share = None
        return dx

    @property
    def _kept(self) -> int:
        """K: the number of columns in the sample. A replica that keeps fewer is padded."""
        return self.selection.rows.shape[1]

    @property
    def _ones(self) -> Array:
        """Weights of 1 [R, K], for a gather without scaling."""
        weights = self.selection.weights
        return array_module(weights).ones_like(weights)

    @staticmethod
    def _by_tap(w: Array, inputs: int) -> Array:
        """Return w [..., taps inputs, P] as [..., P, taps, inputs].

        For weights that lie in memory as a layer stores them, this is a view.
        """
        transposed = w.swapaxes(-1, -2)
        return transposed.reshape(*transposed.shape[:-1], -1, inputs)

    def _gathered(self, x: Array, weights: Array, axes: int) -> Array:
        """Return the kept columns of x [..., R or 1, ..., N] times `weights`: [..., R, ..., K].

        x has `axes` axes behind the replicas.
        """
        xp = array_module(x)
        rows, count = self.selection.rows, self.selection.count
        R = len(rows)
        leading, replicas = x.shape[: -axes - 1], x.shape[-axes - 1]
        if leading:
            # Several directions: each of them takes the sample of its replica.
            directions = prod(leading)
            replicas = directions * R
            x = xp.broadcast_to(x, (*leading, R, *x.shape[-axes:]))
            rows = xp.tile(rows, (directions, 1))
            weights = xp.tile(weights, (directions, 1))
            count = xp.tile(count, directions)
        flat = xp.ascontiguousarray(x.reshape(replicas, -1, self.inputs))
        kept = gather_columns(flat, rows, weights, count)
        return kept.reshape(*leading, R, *x.shape[-axes:-1], -1)

    def _scattered(self, g: Array, weights: Array) -> Array:
        """Return the transpose of `_gathered`: [R, ..., N] for g [R, ..., K]."""
        rows, count = self.selection.rows, self.selection.count
        flat = array_module(g).ascontiguousarray(g.reshape(len(g), -1, g.shape[-1]))
        out = scatter_columns(flat, rows, weights, count, N=self.inputs)
        return out.reshape(len(g), *g.shape[1:-1], -1)
