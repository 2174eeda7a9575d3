"""The convolution: Unfold -> Dense -> reshape, so that there is no second backward anywhere.

    Y = unfold(X) W + b                rows of patches [R, M I J, A B C], weights [R, A B C, P]
    dW = unfold(X)^T G                 a sum over patches, or over examples, each of which stands for its I J patches
    dX = fold(G W^T)                   sums over the output channels P

The forward product is sampled by input channels, which are scored and selected on the image: only what is kept is
unfolded (Adelman et al. 2021, arXiv 1805.08079). With `unit="example"` the weight gradient is, too: images and output
gradients are the rows that are scored, selected and remembered, so that a row memory lies in image space, and kept
pairs are multiplied out without im2col (`PatchProducts`). That is a variant of Mem-AOP of its own; with `unit="patch"`
the algorithm is the paper's, and its memory as large as im2col.
"""

from dataclasses import replace
from typing import Any, Literal

from aopnp.arrays.backend import Array
from aopnp.estimators import AOP, Estimator, Exact
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
    """Images [R, M, H, W, C] to [R, M, I, J, P], channels last; weight [R, A B C, P] in the order (a, b, c)."""

    image: Array

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
        self.geometry, self.channels, self.unit = (
            Geometry(pair(kernel, "kernel"), stride, padding),
            channels,
            unit,
        )
        if unit not in ("patch", "example"):
            raise ValueError(
                f"expected the unit of the weight gradient's sum to be patch or example, got {unit!r}"
            )
        if unit == "example" and not estimator.factored:
            raise ValueError(
                f"expected an estimator that answers with pairs where an example is the unit, got {estimator}; "
                "a residual is a matrix: take unit='patch', or another memory"
            )
        if (
            unit == "patch"
            and isinstance(estimator, AOP)
            and not estimator.remembers
            and estimator.score == Norms()
        ):
            estimator = replace(
                estimator, score=PatchNorms(self)
            )  # the same ranking, from the image
        A, B = self.geometry.kernel
        inputs = A * B * channels
        super().__init__(
            inputs,
            outputs,
            estimator,
            forward=forward,
            input_gradient=input_gradient,
            feedback=feedback,
            init=init,
        )

    @property
    def fan_out(self) -> int:
        A, B = self.geometry.kernel
        return A * B * self.outputs

    def forward(self, x: Array, step: Step = EVALUATION) -> Array:
        cure = "; channels come last, and Unflatten(H, W, C) makes images of rows"
        self.check(x, "images [R or 1, M, H, W, C]", 5, self.channels, cure)
        self.batch_size, self.height, self.width = x.shape[1:4]
        self.positions = self.geometry.positions(self.height, self.width)
        self.kept = self.choose_inputs(x, self._patches, step)
        self.image = self.kept.take(x)
        return self._on_images(self.affine(unfold_images(self.image, self.geometry)))

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        return super().backward(g.reshape(len(g), -1, self.outputs), step, needs_input=needs_input)

    def input_gradient(self, g: Array, step: Step) -> Array:
        return fold_rows(super().input_gradient(g, step), self.geometry, self.height, self.width)

    def weight_gradient(self, g: Array, step: Step) -> Gradient:
        if self.unit == "patch":
            return super().weight_gradient(g, step)
        M, patches = self.batch_size, self._patches // self.batch_size
        return self.weight_product(
            self.image.reshape(len(self.image), M, -1),
            g.reshape(len(g), M, -1),
            **self.told("weight", step) | {"inputs": self.height * self.width * self.channels},
            multiply=self._of_patches,
            flops=2 * patches * self.inputs * self.outputs,
        )

    def _of_patches(self, pairs: OuterProducts) -> PatchProducts:
        """Return the outer products of all patches of the kept examples."""
        images = pairs.a.reshape(*pairs.a.shape[:2], self.height, self.width, -1)
        g = pairs.b.reshape(*pairs.b.shape[:2], *self.positions, self.outputs)
        return PatchProducts(images, g, pairs.count, self.geometry)

    def tangent(self, u: Any) -> Array:
        rows = None if u is None else unfold_images(self.kept.take(u), self.geometry)
        return self._on_images(self.affine_tangent(rows))

    def _on_images(self, rows: Array) -> Array:
        """Return [..., M I J, P] as [..., M, I, J, P]."""
        return rows.reshape(*rows.shape[:-2], self.batch_size, *self.positions, self.outputs)

    @property
    def _patches(self) -> int:
        I, J = self.positions  # noqa: E741 - an axis
        return self.batch_size * I * J

    def _terms(self, batch_size: int) -> dict[str, int]:
        terms = super()._terms(batch_size) | {"forward": self.channels}
        if self.unit == "example" or not self.weight_product.estimator.slots(1):
            return terms
        if not hasattr(self, "positions"):
            raise ValueError(
                f"expected a forward pass before noise is drawn, got none: {self} knows no image size"
            )
        I, J = self.positions  # noqa: E741 - an axis
        return terms | {"weight": batch_size * I * J}

    def __repr__(self) -> str:
        return f"Conv2d({self.channels}, {self.outputs}, {self.geometry.kernel})"
