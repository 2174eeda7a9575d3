"""Pickles and deep copies of networks and rules: for another process, or for early stopping."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from aopnp import (
    AOP,
    SGD,
    Chain,
    Conv2d,
    CrossEntropy,
    Dense,
    Flatten,
    ReLU,
    RowMemory,
    Streams,
    Tanh,
    fit,
    topk,
)
from aopnp.nn import BatchNorm, BinaryConv2d, BinaryDense, Dropout, Sign, Unflatten
from aopnp.nn.feedback import DFA, DKP
from aopnp.nn.soft_weights import Levels
from aopnp.optim import Adam, ParameterGroups, SoftWeightUpdate
from aopnp.training import Backprop, MeasureAlignment, Unlocked

WAYS = pytest.mark.parametrize(
    "copied",
    [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
NETWORKS = {
    "dense with a memory": lambda: Chain(
        Dense(16, 8, AOP(topk, 3, RowMemory())), ReLU(), Dropout(0.2), Dense(8, 3)
    ),
    "convolution": lambda: Chain(
        Unflatten(4, 4, 1),
        Conv2d(1, 2, 3, estimator=AOP(topk, 3, RowMemory()), unit="example"),
        Flatten(),
        Dense(8, 3),
    ),
    "direct feedback": lambda: Chain(Dense(16, 8), Tanh(), DKP(3, 8), Dense(8, 3)),
    "binary": lambda: Chain(BinaryDense(16, 8), BatchNorm(8), Sign(), Dense(8, 3)),
    "binary in 5 bits": lambda: Chain(
        BinaryDense(16, 8, storage=Levels(5), masked=True, scaled=True),
        BatchNorm(8),
        Sign(),
        Dense(8, 3),
    ),
    "binary convolution of one bit": lambda: Chain(
        Unflatten(4, 4, 1),
        BinaryConv2d(1, 2, 3, storage=Levels(1)),
        BatchNorm(2),
        Sign(),
        Flatten(),
        BinaryDense(8, 3, storage=Levels(1), bias=True),
    ),
}
STREAMS = Streams(0, [0, 1])


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 16)), rng.integers(0, 3, 24)


def train(network, optimiser, first_epoch, epochs, rule=None):
    options = {"streams": STREAMS, "batch_size": 8, "first_epoch": first_epoch, "epochs": epochs}
    return fit(network, CrossEntropy(), optimiser, data(), rule=rule or Backprop(), **options)


@WAYS
@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_predicts_the_same_and_trains_on_alone(name, copied):
    network, optimiser = NETWORKS[name](), ParameterGroups(Adam(0.01), SGD(0.01))
    if name.startswith("binary"):
        optimiser = SoftWeightUpdate(Adam(0.01))
    network.initialise(STREAMS)
    train(network, optimiser, 1, 1)
    x = data()[0][None]
    before = network.forward(x)
    again, its_optimiser = copied((network, optimiser))
    np.testing.assert_array_equal(again.forward(x), before)
    history = train(again, its_optimiser, 2, 3)
    np.testing.assert_array_equal(network.forward(x), before)  # they share no array
    for curve, values in train(network, optimiser, 2, 3).curves.items():
        np.testing.assert_array_equal(history.curves[curve], values, err_msg=curve)
    np.testing.assert_array_equal(again.forward(x), network.forward(x))


def direct():
    network = Chain(Dense(16, 6), Tanh(), DFA(3, 6), Dense(6, 5), Tanh(), DFA(3, 5), Dense(5, 3))
    network.initialise(STREAMS)
    return network


@WAYS
def test_a_copy_of_unlocked_has_its_options_and_threads_for_itself(copied):
    rule, trained = Unlocked((MeasureAlignment(2),), workers=3), direct()
    train(trained, SGD(0.1), 1, 1, rule)  # the threads have started
    again = copied(rule)
    assert again == rule
    assert hash(again) == hash(rule)
    assert repr(again) == repr(rule)
    other = direct()
    train(other, SGD(0.1), 1, 1, again)
    for got, want in zip(other.parameters(), trained.parameters(), strict=True):
        np.testing.assert_array_equal(got.value, want.value)


def test_unlocked_compares_by_its_options():
    used = Unlocked(workers=3)
    train(direct(), SGD(0.1), 1, 1, used)
    assert used == Unlocked(workers=3)
    assert used != Unlocked(workers=2)
    assert used != Unlocked((MeasureAlignment(2),), workers=3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which this system does not have")
def test_unlocked_can_be_used_after_a_fork():
    """A forked process has none of its parent's threads: a step that waits for them never ends."""
    program = """
        import os, signal
        import numpy as np
        from aopnp import Chain, CrossEntropy, Dense, Streams
        from aopnp.estimators import Step
        from aopnp.nn.feedback import DFA
        from aopnp.training import Unlocked

        network, rule = Chain(Dense(4, 5), DFA(3, 5), Dense(5, 3)), Unlocked(workers=1)
        network.initialise(Streams())
        batch = np.ones((1, 8, 4)), np.zeros((1, 8), int)

        def step():
            rule(network, CrossEntropy(), *batch, Step(training=True))

        step()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            step()
            os._exit(0)
        raise SystemExit(os.waitpid(child, 0)[1])
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
