"""The data of the feedback experiments, pixels in -1..1, each with the network that learns them.

MNIST: all 60000 and 10000 images. CIFAR-10: 10000 and 4000 images, so that all rules end within 20 minutes on two
cores, or in `-full` all of them.
"""

from functools import partial

import numpy as np

from aopnp import CrossEntropy
from aopnp.arrays.backend import Array
from aopnp.data import Coded, load_mnist
from aopnp.training.evaluation import Inputs
from experiments.deep.problems import cifar_data
from experiments.feedback.networks import alexnet, mlp, two_convolutions
from experiments.problem import Data, Problem

SIGNED = np.arange(256) / 127.5 - 1
"""The pixels 0..255 as -1..1."""

SUBSET = 10000
"""Training images of CIFAR-10 unless it is complete."""


def mnist_data(data_dir: str | None, batch_size: int) -> Data:
    """Return MNIST; the last batch of an epoch, if it is not full, is dropped and not counted."""
    images = load_mnist("mnist", data_dir)
    train, test = images.y_train.astype(np.int64), images.y_test.astype(np.int64)
    seen = len(train) // batch_size * batch_size
    return Data(
        (Coded(images.x_train, SIGNED), train),
        (Coded(images.x_test, SIGNED), test),
        seen,
        len(test),
    )


def signed_cifar_data(complete: bool, data_dir: str | None, batch_size: int) -> Data:
    """Return CIFAR-10 in -1..1, complete or the first images of the other experiments' subset."""
    data = cifar_data(complete, data_dir, batch_size)
    rows = slice(None if complete else SUBSET)

    def signed(pair: tuple[Inputs, Array]) -> tuple[Inputs, Array]:
        x, target = pair
        assert isinstance(x, Coded)
        return Coded(x.codes[rows], SIGNED), target[rows]

    train, validation = signed(data.train), signed(data.validation)
    return Data(train, validation, len(train[1]) // batch_size * batch_size, len(validation[1]))


_MNIST = Problem(mnist_data, mlp, CrossEntropy)
_SUBSET, _COMPLETE = (partial(signed_cifar_data, complete) for complete in (False, True))

FEEDBACK = {
    "feedback-mnist": _MNIST,
    "feedback-mnist-full": _MNIST,
    "feedback-cifar": Problem(_SUBSET, two_convolutions, CrossEntropy, validation_batch=100),
    "feedback-cifar-full": Problem(_COMPLETE, two_convolutions, CrossEntropy, validation_batch=100),
    "feedback-alexnet": Problem(_SUBSET, alexnet, CrossEntropy, validation_batch=100),
    "feedback-alexnet-full": Problem(_COMPLETE, alexnet, CrossEntropy, validation_batch=100),
}
