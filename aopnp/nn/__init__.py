"""Layers and losses.

A new layer or loss is one file, or one class in the file of its relatives, and one line here.
"""

from aopnp.nn.activations import Activation, ReLU, Sigmoid, Softmax, Tanh
from aopnp.nn.augment import RandomCropFlip
from aopnp.nn.binary import BinaryConv2d, BinaryDense
from aopnp.nn.chain import Chain
from aopnp.nn.conv import Conv2d
from aopnp.nn.dense import Dense
from aopnp.nn.dropout import ChannelDropout, Dropout
from aopnp.nn.init import Initialiser, KaimingNormal, XavierUniform, uniform_fan_in, uniform_latent
from aopnp.nn.layer import Layer, Parameter
from aopnp.nn.losses import CrossEntropy, Loss, MeanSquaredError
from aopnp.nn.norm import BatchNorm
from aopnp.nn.pooling import AveragePool2d, GlobalAveragePool, MaxPool2d
from aopnp.nn.residual import Residual
from aopnp.nn.shape import Flatten, Unflatten
from aopnp.nn.sign import Sign
from aopnp.nn.unfold import Geometry, Unfold

ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU,
    "sign": Sign,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "softmax": Softmax,
}
LOSSES: dict[str, type[Loss]] = {
    "mean_squared_error": MeanSquaredError,
    "cross_entropy": CrossEntropy,
}

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "AveragePool2d",
    "BatchNorm",
    "BinaryConv2d",
    "BinaryDense",
    "Chain",
    "ChannelDropout",
    "Conv2d",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "Flatten",
    "Geometry",
    "GlobalAveragePool",
    "Initialiser",
    "KaimingNormal",
    "Layer",
    "Loss",
    "MaxPool2d",
    "MeanSquaredError",
    "Parameter",
    "RandomCropFlip",
    "ReLU",
    "Residual",
    "Sigmoid",
    "Sign",
    "Softmax",
    "Tanh",
    "Unflatten",
    "Unfold",
    "XavierUniform",
    "uniform_fan_in",
    "uniform_latent",
]
