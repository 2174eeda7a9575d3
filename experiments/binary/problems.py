"""The data of the binary experiments, pixels in -1..1, each with the network that learns them.

MNIST: all 60000 and 10000 images. CIFAR-10: all 50000 and 10000.
"""

from functools import partial

from aopnp import CrossEntropy
from experiments.binary.networks import bcnn, bvgg16, mlp
from experiments.feedback.problems import SIGNED, signed_cifar_data
from experiments.forward.problems import mnist_data
from experiments.problem import Problem

_MNIST = partial(mnist_data, SIGNED)

BINARY = {
    "binary": Problem(_MNIST, bcnn, CrossEntropy, validation_batch=100),
    "binary-mlp": Problem(_MNIST, mlp, CrossEntropy),
    "binary-bvgg16": Problem(
        partial(signed_cifar_data, True), bvgg16, CrossEntropy, validation_batch=100
    ),
}
