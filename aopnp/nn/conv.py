"""The convolution: Unfold -> Dense -> reshape, so that there is no second backward anywhere.

    Y = unfold(X) W + b      rows of patches [R, M I J, A B C], weights [R, A B C, P]
    dW = unfold(X)^T G       a sum over patches, or over examples that expand to their I J patches
    dX = fold(G W^T)         sums over the output channels P

The forward product is sampled by input channels, which are scored and selected on the image: only
kept channels are unfolded (Adelman et al. 2021, arXiv 1805.08079).

With `unit="patch"` the weight gradient is a sum over patches. This is the algorithm of the paper
(arXiv 2110.09164), and a row memory is as large as the unfolded images. With `unit="example"` the
weight gradient is a sum over examples, a variant of Mem-AOP: images and output gradients are the
rows that are scored, selected and remembered. A row memory then has the size of the images, and
kept pairs are multiplied without unfolding them (`PatchProducts`).
"""

from dataclasses import replace
from typing import Any, Literal, TypeGuard

from aopnp.arrays.backend import Array
from aopnp.estimators.aop import AOP
from aopnp.estimators.estimator import Estimator
from aopnp.estimators.exact import Exact
from aopnp.estimators.outer_products import Gradient, OuterProducts
from aopnp.estimators.scores import Norms
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.dense import Dense
from aopnp.nn.feedback import Feedback, Transpose
from aopnp.nn.init import Initialiser, uniform_fan_in
from aopnp.nn.patch_norms import PatchNorms
from aopnp.nn.patch_products import PatchProducts
from aopnp.nn.unfold import Geometry, fold_rows, pair, unfold_images


class Conv2d(Dense):
    """Images [R, M, H, W, C] to [R, M, I, J, P], channels last.

    The weight is [R, A B C, P], with its rows in the order (a, b, c).
    """

    image: Array
    """The images of the last forward pass [R or 1, M, H, W, C]; of a sample, its channels only."""

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int = 0,
        estimator: Estimator = Exact(),  # noqa: B008 - frozen
        *,
        forward: Estimator = Exact(),  # noqa: B008
        input_gradient: Estimator = Exact(),  # noqa: B008
        unit: Literal["patch", "example"] = "patch",
        feedback: Feedback = Transpose(),  # noqa: B008
        init: Initialiser = uniform_fan_in,
    ) -> None:
        self.geometry = Geometry(pair(kernel, "kernel"), stride, padding)
        self.channels = channels
        self.unit = unit
        if unit not in ("patch", "example"):
            raise ValueError(
                "expected the unit of the weight gradient's sum to be patch or example, "
                f"got {unit!r}"
            )
        if unit == "example" and not estimator.factored:
            raise ValueError(
                "expected an estimator with a factored gradient where an example is the unit, got "
                f"{estimator}; a residual is a matrix: take unit='patch', or another memory"
            )
        if unit == "patch" and _scores_whole_rows(estimator):
            # The same ranking, computed from the image instead of the rows of patches.
            estimator = replace(estimator, score=PatchNorms(self))
        A, B = self.geometry.kernel
        super().__init__(
            A * B * channels,
            outputs,
            estimator,
            forward=forward,
            input_gradient=input_gradient,
            feedback=feedback,
            init=init,
        )
        self.forward_product.terms = channels
        if unit == "patch":
            self.weight_product.rows = None
        else:
            self.weight_product.expand = self._of_patches

    @property
    def fan_out(self) -> int:
        A, B = self.geometry.kernel
        return A * B * self.outputs

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        if not self.accepts(x, 5, self.channels):
            cure = "; channels come last, and Unflatten(H, W, C) makes images of rows"
            self.refuse(x, "images [R or 1, M, H, W, C]", self.channels, cure)
        M, self.height, self.width = x.shape[1:4]
        self.positions = self.geometry.positions(self.height, self.width)
        patches = self.positions[0] * self.positions[1]
        self._describe_example(patches)
        rows = M * patches
        self.sample = self.forward_product.choose(x, self.weight, rows, step)
        if self.sample is not None:
            x = self.sample.take(x)
        self.image = x
        return self._on_images(self.affine(unfold_images(x, self.geometry)))

    def _describe_example(self, patches: int) -> None:
        """Tell the weight product how many rows, numbers and flops an example has."""
        product = self.weight_product
        if self.unit == "patch":
            product.rows = patches
        else:
            product.inputs = self.height * self.width * self.channels
            product.flops = 2 * patches * self.inputs * self.outputs

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        rows = g.reshape(len(g), -1, self.outputs)
        return super().backward(rows, step, needs_input=needs_input)

    def input_gradient(self, g: Array, step: Step) -> Array:
        rows = super().input_gradient(g, step)
        return fold_rows(rows, self.geometry, self.height, self.width)

    def weight_gradient(self, g: Array, step: Step) -> Gradient:
        if self.unit == "patch":
            return super().weight_gradient(g, step)
        M = self.image.shape[1]
        images = self.image.reshape(len(self.image), M, -1)
        g = g.reshape(len(g), M, -1)
        if self.sample is not None:
            return self.sample.weight_gradient(self.weight_product, images, g, step)
        return self.weight_product(images, g, step)

    def _of_patches(self, pairs: OuterProducts) -> PatchProducts:
        """Return the outer products of all patches of the kept examples."""
        images = pairs.a.reshape(*pairs.a.shape[:2], self.height, self.width, -1)
        g = pairs.b.reshape(*pairs.b.shape[:2], *self.positions, self.outputs)
        return PatchProducts(images, g, pairs.count, self.geometry)

    def tangent(self, u: Any) -> Array:
        if u is not None:
            if self.sample is not None:
                u = self.sample.take(u)
            u = unfold_images(u, self.geometry)
        return self._on_images(self.affine_tangent(u))

    def _on_images(self, rows: Array) -> Array:
        """Return outputs [..., M I J, P], one row for each patch, as images [..., M, I, J, P]."""
        return rows.reshape(*rows.shape[:-2], -1, *self.positions, self.outputs)

    def __repr__(self) -> str:
        return f"Conv2d({self.channels}, {self.outputs}, {self.geometry.kernel})"


def _scores_whole_rows(estimator: Estimator) -> TypeGuard[AOP]:
    """Return whether `estimator` ranks rows by their norms, and only rows of the current batch."""
    return isinstance(estimator, AOP) and not estimator.remembers and estimator.score == Norms()
