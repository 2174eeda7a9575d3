"""Approximate back-propagation from scratch: Mem-AOP-GD (arXiv 2110.09164) and its neighbours, in readable NumPy.

A matrix product is a sum of outer products; keep K of them, remember the rest. Importing compiles nothing.
"""

from aopnp.backend import array_module, has_gpu, to_device, to_host
from aopnp.cost import Cost, estimate
from aopnp.estimators import AOP, ESTIMATORS, Automatic, Estimator, Exact, Stacked, Watched, side_by_side, stack
from aopnp.layer import Chain, Layer, Parameter, Step
from aopnp.memories import MEMORIES, Memory, NoMemory, QueueMemory, ResidualMemory, RowMemory
from aopnp.nn import (
    AveragePool2d,
    BatchNorm,
    ChannelDropout,
    Conv2d,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
    KaimingNormal,
    MaxPool2d,
    MeanSquaredError,
    RandomCropFlip,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
    Unflatten,
    XavierUniform,
)
from aopnp.noise import selection_noise
from aopnp.optim import SGD, Adam, Cosine, MultiStep, StepDecay, WarmUp
from aopnp.outer_products import OuterProducts
from aopnp.policies import POLICIES, LargestKeys, Policy, Selection, bernoulli, k_best, randk, topk, weightedk
from aopnp.rules import backprop
from aopnp.saving import load, save
from aopnp.scores import SCORES, Norms, Score
from aopnp.sizes import EpochRatios, Ratio
from aopnp.streams import Streams
from aopnp.train import History, evaluate, fit

__version__ = "0.1.0"

__all__ = [
    "AOP",
    "ESTIMATORS",
    "MEMORIES",
    "POLICIES",
    "SCORES",
    "SGD",
    "Adam",
    "Automatic",
    "AveragePool2d",
    "BatchNorm",
    "Chain",
    "ChannelDropout",
    "Conv2d",
    "Cosine",
    "Cost",
    "CrossEntropy",
    "Dense",
    "Dropout",
    "EpochRatios",
    "Estimator",
    "Exact",
    "Flatten",
    "GlobalAveragePool",
    "History",
    "KaimingNormal",
    "LargestKeys",
    "Layer",
    "MaxPool2d",
    "MeanSquaredError",
    "Memory",
    "MultiStep",
    "NoMemory",
    "Norms",
    "OuterProducts",
    "Parameter",
    "Policy",
    "QueueMemory",
    "RandomCropFlip",
    "Ratio",
    "ReLU",
    "Residual",
    "ResidualMemory",
    "RowMemory",
    "Score",
    "Selection",
    "Sigmoid",
    "Softmax",
    "Stacked",
    "Step",
    "StepDecay",
    "Streams",
    "Tanh",
    "Unflatten",
    "WarmUp",
    "Watched",
    "XavierUniform",
    "array_module",
    "backprop",
    "bernoulli",
    "estimate",
    "evaluate",
    "fit",
    "has_gpu",
    "k_best",
    "load",
    "randk",
    "save",
    "selection_noise",
    "side_by_side",
    "stack",
    "to_device",
    "to_host",
    "topk",
    "weightedk",
]
