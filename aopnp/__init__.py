"""Approximate back-propagation from scratch: Mem-AOP-GD (arXiv 2110.09164) and its neighbours, in readable NumPy.

A weight gradient `X^T G` is a sum of outer products; keep K of M, remember the rest. Importing compiles nothing.
"""

from aopnp.backend import array_module, has_gpu, to_device, to_host
from aopnp.cost import Cost, estimate
from aopnp.estimators import AOP, ESTIMATORS, Estimator, Exact, Stacked, Watched, side_by_side, stack
from aopnp.layer import Chain, Layer, Parameter, Step
from aopnp.memories import MEMORIES, Memory, NoMemory, QueueMemory, ResidualMemory, RowMemory
from aopnp.nn import CrossEntropy, Dense, MeanSquaredError, ReLU, Sigmoid, Softmax, Tanh
from aopnp.optim import SGD, Cosine, StepDecay, WarmUp
from aopnp.outer_products import OuterProducts
from aopnp.policies import POLICIES, LargestKeys, Policy, Selection, k_best, randk, topk, weightedk
from aopnp.rules import backprop
from aopnp.streams import Streams
from aopnp.train import History, evaluate, fit, selection_noise

__version__ = "0.1.0"

__all__ = [
    "AOP",
    "ESTIMATORS",
    "MEMORIES",
    "POLICIES",
    "SGD",
    "Chain",
    "Cosine",
    "Cost",
    "CrossEntropy",
    "Dense",
    "Estimator",
    "Exact",
    "History",
    "LargestKeys",
    "Layer",
    "MeanSquaredError",
    "Memory",
    "NoMemory",
    "OuterProducts",
    "Parameter",
    "Policy",
    "QueueMemory",
    "ReLU",
    "ResidualMemory",
    "RowMemory",
    "Selection",
    "Sigmoid",
    "Softmax",
    "Stacked",
    "Step",
    "StepDecay",
    "Streams",
    "Tanh",
    "WarmUp",
    "Watched",
    "array_module",
    "backprop",
    "estimate",
    "evaluate",
    "fit",
    "has_gpu",
    "k_best",
    "randk",
    "selection_noise",
    "side_by_side",
    "stack",
    "to_device",
    "to_host",
    "topk",
    "weightedk",
]
