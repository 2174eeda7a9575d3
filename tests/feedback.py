"""Small networks with every feedback of both tables, for the tests of training, of devices and of
saving."""

from functools import partial

import numpy as np

from aopnp import (
    AOP,
    SGD,
    Adam,
    BatchNorm,
    Chain,
    Conv2d,
    CrossEntropy,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    ReLU,
    RowMemory,
    Tanh,
    Unflatten,
    fit,
    topk,
)
from aopnp.arrays import to_device
from aopnp.nn.feedback import DIRECT, DKP, FDFA, FEEDBACKS, Hook
from aopnp.optim import ParameterGroups, StepDecay
from aopnp.training import Backprop, MeasureAlignment, backprop, learn_jacobians

MEMORY = AOP(topk, 3, RowMemory(0.9))
CLASSES, BATCH, ROWS = 3, 8, 40
KINDS = DIRECT | {"dkp with memory": partial(DKP, estimator=MEMORY)}


def layered(name):
    """Return a network whose layers all have the feedback `name`, Mem-AOP among them."""
    feedback = FEEDBACKS[name]()
    convolutions = [Conv2d(2, 3, 2, feedback=feedback), BatchNorm(3), Tanh(), Hook()]
    convolutions += [Conv2d(3, 4, 2, estimator=AOP(topk, 20), feedback=feedback), ReLU(), Flatten()]
    rows = [
        Dense(16, 6, MEMORY, feedback=feedback),
        Tanh(),
        Dropout(0.2),
        Hook(),
        Dense(6, CLASSES, feedback=feedback),
    ]
    return Chain(Unflatten(4, 4, 2), *convolutions, *rows)


def direct(name):
    """Return a network with direct feedback `name` on feature maps and, in a nested chain, on
    rows."""
    kind = KINDS[name]
    convolution = [
        Conv2d(2, 3, 2),
        BatchNorm(3),
        ReLU(),
        kind(CLASSES, (3, 3, 3)),
        MaxPool2d(2),
        Flatten(),
    ]
    rows = Chain(Dense(3, 6, MEMORY), BatchNorm(6), Tanh(), Dropout(0.2), kind(CLASSES, 6))
    return Chain(Unflatten(4, 4, 2), *convolution, rows, Dense(6, CLASSES))


NETWORKS = {name: layered for name in FEEDBACKS} | {name: direct for name in KINDS}


def rule_for(network, *between):
    """Return the rule that the feedback in `network` wants."""
    jacobians = any(isinstance(layer, FDFA) for layer in network.walk())
    looks = (*between, learn_jacobians) if jacobians else between
    return Backprop(looks) if looks else backprop


def optimiser():
    return ParameterGroups(
        SGD(0.05, 0.9, weight_decay=0.1, decoupled=True), Adam(0.01, schedule=StepDecay(5, 0.5))
    )


def train(name, streams, dtype=np.float64, device="cpu", *, epochs=2, measure=True, moved_by=None):
    """Train a network of the table from its initial values; return (network, history)."""
    network = NETWORKS[name](name)
    network.initialise(streams, dtype, device)
    between = [MeasureAlignment()] if measure else []
    history = go_on(
        network,
        moved_by or optimiser(),
        streams,
        rule_for(network, *between),
        device,
        epochs=epochs,
    )
    return network, history


def go_on(network, moved_by, streams, rule, device="cpu", *, epochs, first_epoch=1):
    rng, dtype = np.random.default_rng(0), network.parameters()[0].value.dtype
    x, labels = rng.normal(size=(ROWS, 32)).astype(dtype), rng.integers(0, CLASSES, ROWS)
    data = to_device(x, device), to_device(labels, device)
    return fit(
        network,
        CrossEntropy(),
        moved_by,
        data,
        streams=streams,
        batch_size=BATCH,
        epochs=epochs,
        first_epoch=first_epoch,
        rule=rule,
    )
