"""The data of the forward-gradient experiments, pixels in 0..1, each with the network that learns them.

MNIST: all 60000 and 10000 images. CIFAR-10: the first 16000 and 4000 images; all of them for VGG16.
"""

from functools import partial

import numpy as np

from aopnp import CrossEntropy
from aopnp.arrays.backend import Array
from aopnp.data import Coded, load_mnist
from experiments.deep.problems import UNIT, cifar_data
from experiments.forward.networks import mlp, small_vgg, vgg16
from experiments.problem import Data, Problem


def mnist_data(levels: Array, data_dir: str | None, batch_size: int) -> Data:
    """Return MNIST with byte b standing for levels[b]; what fills no batch is dropped and not counted."""
    images = load_mnist("mnist", data_dir)
    train, test = images.y_train.astype(np.int64), images.y_test.astype(np.int64)
    seen = len(train) // batch_size * batch_size
    return Data(
        (Coded(images.x_train, levels), train),
        (Coded(images.x_test, levels), test),
        seen,
        len(test),
    )


_MLP = Problem(partial(mnist_data, UNIT), mlp, CrossEntropy)

FORWARD = {
    "forward": _MLP,
    "forward-narrow": _MLP,
    "forward-vgg": Problem(
        partial(cifar_data, False), small_vgg, CrossEntropy, validation_batch=100
    ),
    "forward-vgg16": Problem(partial(cifar_data, True), vgg16, CrossEntropy, validation_batch=100),
}
