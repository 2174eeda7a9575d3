"""Layers and losses. A new one is one file (or one class beside its kin) and one line here."""

from aopnp.nn.activations import Activation, ReLU, Sigmoid, Softmax, Tanh
from aopnp.nn.dense import Dense
from aopnp.nn.losses import CrossEntropy, Loss, MeanSquaredError

ACTIVATIONS: dict[str, type[Activation]] = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid, "softmax": Softmax}
LOSSES: dict[str, type[Loss]] = {"mean_squared_error": MeanSquaredError, "cross_entropy": CrossEntropy}

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "CrossEntropy",
    "Dense",
    "Loss",
    "MeanSquaredError",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
