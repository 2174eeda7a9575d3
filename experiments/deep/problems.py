"""The problems of Adelman et al. (arXiv 1805.08079, section 5): data, network, loss and optimiser of each command.

Validation is on the test images, as the published accuracies are. Of MNIST the first 5000 training images, published
as development set, are left out. CIFAR-10 is the first 16000 + 4000 images; all of them in `cifar-full`.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from aopnp import SGD, CrossEntropy
from aopnp.arrays.backend import Array
from aopnp.data import Coded, ImageData, load_cifar10, load_mnist
from aopnp.optim import Adam, Cosine, MultiStep, Optimiser
from experiments.deep.networks import cnn, mlp, wide_resnet
from experiments.problem import Data, Problem

UNIT = np.arange(256) / 255
"""The pixels 0..255 as 0..1."""


def mnist_data(levels: Array, data_dir: str | None, batch_size: int) -> Data:
    """Return MNIST with byte b standing for levels[b]: 55000 images for training, 10000 for validation."""
    images = load_mnist("mnist", data_dir)
    return _data(
        images._replace(x_train=images.x_train[5000:], y_train=images.y_train[5000:]),
        levels,
        batch_size,
    )


def cifar_data(complete: bool, data_dir: str | None, batch_size: int) -> Data:
    """Return CIFAR-10, pixels in 0..1: 50000 and 10000 images, or the first 16000 and 4000 of them."""
    images = load_cifar10(data_dir, complete=complete)
    if complete:
        return _data(images, UNIT, batch_size)
    train, test = slice(16000), slice(4000)
    first = ImageData(
        images.x_train[train], images.y_train[train], images.x_test[test], images.y_test[test]
    )
    return _data(first, UNIT, batch_size)


def _data(images: ImageData, levels: Array, batch_size: int) -> Data:
    seen = (
        len(images.x_train) // batch_size * batch_size
    )  # the last batch of an epoch is dropped, not counted wrong
    train, validation = (images.x_train, images.y_train), (images.x_test, images.y_test)
    (x, y), (x_validation, y_validation) = [
        (Coded(x, levels), y.astype(np.int64)) for x, y in (train, validation)
    ]
    return Data((x, y), (x_validation, y_validation), seen, len(y_validation))


def _adam(lr: float, steps: int) -> Optimiser:
    return Adam(lr)


def _half_momentum(lr: float, steps: int) -> Optimiser:
    return SGD(lr, momentum=0.5)


def _half_momentum_cosine(lr: float, steps: int) -> Optimiser:
    return SGD(
        lr, momentum=0.5, schedule=Cosine(steps)
    )  # two epochs instead of twenty: larger steps that shrink


def _wide_resnet_sgd(lr: float, steps: int) -> Optimiser:
    # Published: epochs 60, 120 and 160 of 200.
    milestones = sorted({int(share * steps) for share in (0.3, 0.6, 0.8)})
    return SGD(
        lr, momentum=0.9, weight_decay=5e-4, schedule=MultiStep(tuple(milestones), factor=0.2)
    )


OPTIMISERS: dict[str, Callable[[float, int], Optimiser]] = {
    "mlp": _adam,
    "mlp-full": _adam,
    "cnn": _half_momentum_cosine,
    "cnn-full": _half_momentum,
    "cifar": _wide_resnet_sgd,
    "cifar-full": _wide_resnet_sgd,
}
"""Problem -> optimiser of a step size and the number of all steps."""

_MLP = Problem(partial(mnist_data, UNIT), mlp, CrossEntropy)
_CNN = Problem(
    partial(mnist_data, (UNIT - 0.1307) / 0.3081), cnn, CrossEntropy, validation_batch=100
)

DEEP = {
    "mlp": _MLP,
    "mlp-full": _MLP,
    "cnn": _CNN,
    "cnn-full": _CNN,
    "cifar": Problem(
        partial(cifar_data, False), partial(wide_resnet, 1, 1), CrossEntropy, validation_batch=100
    ),
    "cifar-full": Problem(
        partial(cifar_data, True), partial(wide_resnet, 4, 10), CrossEntropy, validation_batch=100
    ),
}
