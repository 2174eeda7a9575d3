"""Losses: a mean over the batch for every replica, its gradient and its tangent."""

import numpy as np

from aopnp.arrays.backend import Array, array_module
from aopnp.arrays.kernels import cross_entropy


class Loss:
    """`forward(y, target) -> [R]`, then `backward() -> dloss/dy`.

    Gradient and tangent are tied by `tangent(u) = <backward(), u>`.
    """

    gradient: Array
    """dloss/dy [R, M, P] at the outputs of the last `forward`."""

    def forward(self, y: Array, target: Array) -> Array:
        """Return the mean loss of each replica [R] for outputs y [R, M, P]."""
        raise NotImplementedError

    def backward(self) -> Array:
        """Return dloss/dy [R, M, P] at the outputs of the last `forward`."""
        return self.gradient

    def target_part(self) -> Array:
        """Return the part of -dloss/dy that does not depend on y [R or 1, M, P].

        It belongs to the target of the last `forward`.
        """
        raise NotImplementedError

    def tangent(self, u: Array) -> Array:
        """Return the derivative of the loss [..., R] along u [..., R, M, P]."""
        return (self.gradient * u).sum((-2, -1))

    def row_tangents(self, u: Array) -> Array:
        """Return the summands of `tangent(u)`, one for each row [..., R, M].

        The summand of a row is 1/M of the derivative of this row's loss.
        """
        return (self.gradient * u).sum(-1)

    def correct(self, y: Array, target: Array) -> Array | None:
        """Return how many rows are classified correctly [R]; None for a loss without classes."""
        return None

    def check(self, target: Array, outputs: int) -> None:
        """Raise ValueError unless a data set's targets [n, ...] suit a network of P = `outputs`."""
        raise NotImplementedError


class MeanSquaredError(Loss):
    """`mean over M and P of (y - t)^2`, target [R or 1, M, P]."""

    def forward(self, y: Array, target: Array) -> Array:
        if target.ndim != 3 or target.shape[1:] != y.shape[1:] or len(target) not in (1, len(y)):
            raise ValueError(
                f"expected targets [R or 1, M, P] for outputs {y.shape}, "
                f"got shape {target.shape}; reshape them"
            )
        self.target = target
        difference = y - target
        self.gradient = difference * (2 / (y.shape[-2] * y.shape[-1]))
        return (difference * difference).reshape(len(y), -1).mean(-1)

    def target_part(self) -> Array:
        """Return 2 t / (M P)."""
        return self.target * (2 / (self.target.shape[-2] * self.target.shape[-1]))

    def check(self, target: Array, outputs: int) -> None:
        expected = f"expected finite floating-point targets [n, {outputs}]"
        got = f"got {target.dtype} {list(target.shape)}"
        cures = []
        if target.shape[1:] != (outputs,):
            cures.append(f"reshape them to [n, {outputs}]")
        if target.dtype.kind != "f":
            cures.append("cast them with astype")
        elif not array_module(target).isfinite(target).all():
            got += " with NaN or infinity"
            cures.append("clean the data")
        if cures:
            raise ValueError(f"{expected}, {got}; {' and '.join(cures)}")


class CrossEntropy(Loss):
    """`mean over M of -log softmax(y)[label]` on logits y, labels integers [R or 1, M].

    The paper's "double softmax" (arXiv 2110.09164, section 4) is a Softmax layer in front of this
    loss.
    """

    def forward(self, y: Array, target: Array) -> Array:
        if target.ndim != 2 or target.shape[1] != y.shape[1] or len(target) not in (1, len(y)):
            raise ValueError(
                f"expected labels [R or 1, M] for outputs {y.shape}, got shape {target.shape}"
            )
        self.target = target
        xp = array_module(y, target)
        logits = xp.ascontiguousarray(y)
        labels = xp.ascontiguousarray(target, np.int64)
        losses, self.gradient = cross_entropy(logits, labels)
        return losses.mean(-1)

    def target_part(self) -> Array:
        """Return onehot / M."""
        classes = array_module(self.target).arange(self.gradient.shape[-1])
        onehot = self.target[..., None] == classes
        return onehot.astype(self.gradient.dtype) / self.target.shape[-1]

    def correct(self, y: Array, target: Array) -> Array:
        return (y.argmax(-1) == target).sum(-1)

    def check(self, target: Array, outputs: int) -> None:
        if target.ndim != 1 or target.dtype.kind not in "iu":
            raise ValueError(
                f"expected integer class labels [n], got {target.dtype} {list(target.shape)}; "
                f"encode the classes as 0..{outputs - 1}"
            )
        if len(target) and not 0 <= target.min() <= target.max() < outputs:
            raise ValueError(
                f"expected labels 0..{outputs - 1}, got {target.min()}..{target.max()}; "
                f"the network has {outputs} outputs"
            )
