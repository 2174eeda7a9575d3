"""Approximate back-propagation from scratch: Mem-AOP-GD (arXiv 2110.09164) and its neighbours, in readable NumPy.

A matrix product is a sum of outer products; keep K of them, remember the rest. Most programs need
only these names. All others are in the rooms: `aopnp.nn`, `aopnp.optim`, `aopnp.estimators`,
`aopnp.training`, `aopnp.data`, `aopnp.arrays` and `aopnp.verify`. Importing compiles nothing.
"""

from aopnp import arrays, data, estimators, nn, optim, training
from aopnp.arrays.streams import Streams
from aopnp.estimators import AOP, Exact, Ratio
from aopnp.estimators.memories import NoMemory, QueueMemory, ResidualMemory, RowMemory
from aopnp.estimators.policies import Selection, bernoulli, randk, topk, weightedk
from aopnp.nn import (
    BatchNorm,
    Chain,
    Conv2d,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    MeanSquaredError,
    ReLU,
    Softmax,
    Tanh,
    Unflatten,
)
from aopnp.optim import SGD, Adam
from aopnp.training import History, evaluate, fit, load, save

__version__ = "0.1.0"

__all__ = [
    "AOP",
    "SGD",
    "Adam",
    "BatchNorm",
    "Chain",
    "Conv2d",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "Exact",
    "Flatten",
    "History",
    "MaxPool2d",
    "MeanSquaredError",
    "NoMemory",
    "QueueMemory",
    "Ratio",
    "ReLU",
    "ResidualMemory",
    "RowMemory",
    "Selection",
    "Softmax",
    "Streams",
    "Tanh",
    "Unflatten",
    "arrays",
    "bernoulli",
    "data",
    "estimators",
    "evaluate",
    "fit",
    "load",
    "nn",
    "optim",
    "randk",
    "save",
    "topk",
    "training",
    "weightedk",
]
