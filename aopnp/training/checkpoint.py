"""Saving and loading: a network and its optimiser between two epochs, in one .npz file.

    header           JSON: format, epoch, (seed, runs), kinds of layers, estimators, optimiser and
                     rule, structure of their states
    parameter/i      the value of parameter i
    layer/i/...      the arrays in the state of layer i: memories, running statistics
    optimiser/i/...  the arrays in the optimiser's state of parameter i
    rule/...         the arrays in the state of the rule, if it keeps one

Random numbers are pure functions of (seed, run, epoch, step), so nothing else has to be saved:
`fit` from the next epoch on goes on as if it had never stopped, bit for bit on the CPU. There are
no pickles in the file.
"""

import copy
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_device, to_host
from aopnp.arrays.streams import Streams
from aopnp.estimators.estimator import Estimator
from aopnp.nn.layer import Layer, Parameter
from aopnp.optim import Optimiser
from aopnp.training.network_file import read, write
from aopnp.training.rules import Rule, backprop
from aopnp.training.serialise import form, pack, unpack
from aopnp.training.state_checks import States, check_states

CURE = "build network, optimiser, rule and streams as they were when it was saved"


def save(
    path: str | Path,
    network: Layer,
    optimiser: Optimiser,
    *,
    streams: Streams,
    epoch: int,
    rule: Rule = backprop,
) -> None:
    """Write network, optimiser and rule as they are after `epoch` epochs (0: untrained) to `path`.

    The file appears whole or not at all: it is written under another name in the same folder and
    then renamed. Raises TypeError where a state holds something that cannot be packed, OSError
    where the folder cannot be written to.
    """
    parameters = network.parameters()
    arrays = {}
    for i, parameter in enumerate(parameters):
        arrays[f"parameter/{i}"] = to_host(parameter.value)
    layers = []
    for i, layer in enumerate(network.walk()):
        layers.append(pack(layer.saved(), f"layer/{i}", arrays))
    header = _description(network, optimiser, streams, rule)
    header["epoch"] = int(epoch)
    header["layers"] = layers
    header["moments"] = pack(optimiser.saved(parameters), "optimiser", arrays)
    header["memory"] = pack(rule.saved(), "rule", arrays)
    write(Path(path), header, arrays)


def load(
    path: str | Path,
    network: Layer,
    optimiser: Optimiser,
    *,
    streams: Streams,
    device: str = "cpu",
    rule: Rule = backprop,
) -> int:
    """Read the file `path` that `save` wrote into `network`; return the number of its epoch.

    The network must be initialised with `streams` on `device`. Values are written into the arrays
    of its parameters, in place. Step size, schedule and weight decay are not in the file: those of
    `optimiser` hold. Raises FileNotFoundError where there is no file, and ValueError where it is
    damaged, was not written by `save`, or belongs to another network, estimator, optimiser, rule,
    seed or runs. All arrays and the structure of all states are checked before anything is
    written, so that a file that is refused changes nothing.
    """
    path = Path(path)
    header, arrays = read(path)
    parameters = network.parameters()
    _check_description(path, header, _description(network, optimiser, streams, rule))
    values = _checked_values(path, arrays, parameters, device)
    _check_estimators(path, header["estimators"], network)
    states = _unpacked(path, header, arrays, device)
    try:
        check_states(states, network, optimiser, rule, streams)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {CURE}") from error
    _restore(path, states, network, optimiser, rule)
    for parameter, value in zip(parameters, values, strict=True):
        parameter.value[...] = value
    return header["epoch"]


def _description(
    network: Layer, optimiser: Optimiser, streams: Streams, rule: Rule
) -> dict[str, Any]:
    """Return the facts that must be the same where a file is loaded: name -> JSON value."""
    estimators = []
    for layer in network.walk():
        products = layer.products().items()
        estimators.append({name: _name(product.estimator) for name, product in products})
    return {
        "kinds": [type(layer).__name__ for layer in network.walk()],
        "estimators": estimators,
        "optimiser": optimiser.state_kind,
        "rule": rule.state_kind,
        "seed": streams.seed,
        "runs": list(streams.runs),
    }


def _name(estimator: Estimator) -> str:
    """Return the repr of an estimator, which is the same in every process that builds it alike."""
    # Arrays are written whole. NumPy 2 writes np.float64(0.5) unless it is told to write 0.5.
    with np.printoptions(threshold=sys.maxsize, precision=17, legacy="1.21"):
        name = repr(estimator)
    # A function, a policy for example, is written with its address.
    return re.sub(r" at 0x[0-9a-fA-F]+", "", name)


def _check_description(path: Path, header: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise ValueError unless the header describes the same kinds of things as `expected`."""
    words = {
        "kinds": "layers",
        "optimiser": "an optimiser",
        "rule": "a rule",
        "seed": "a seed",
        "runs": "runs",
    }
    for entry, word in words.items():
        if header[entry] != expected[entry]:
            raise ValueError(
                f"{path}: expected {word} {expected[entry]} as here, got {header[entry]}; {CURE}"
            )


def _check_estimators(path: Path, saved: Any, network: Layer) -> None:
    """Raise ValueError unless every product has the estimator that it was saved with."""
    for number, layer in enumerate(network.walk()):
        for name, product in layer.products().items():
            here = _name(product.estimator)
            try:
                there = saved[number][name]
            except (IndexError, KeyError, TypeError):
                there = None
            if there != here:
                raise ValueError(
                    f"{path}: expected the estimator {here} as here for the product {name!r} of "
                    f"layer {number}, {layer}, got {there}; build the network with the estimators "
                    "that it was saved with (to go on with other estimators, load it into such a "
                    "network and copy the values of its parameters)"
                )


def _checked_values(
    path: Path, arrays: dict[str, Array], parameters: Sequence[Parameter], device: str
) -> list[Array]:
    """Return the saved values on `device`. ValueError unless each fits its parameter."""
    saved: list[Array] = []
    while f"parameter/{len(saved)}" in arrays:
        saved.append(arrays[f"parameter/{len(saved)}"])
    expected = [form(parameter.value) for parameter in parameters]
    got = [form(value) for value in saved]
    if got != expected:
        raise ValueError(
            f"{path}: expected parameters {', '.join(expected)} as the network's, got "
            f"{', '.join(got)}; build and initialise the network as it was when it was saved, in "
            "the same dtype"
        )
    values = [to_device(value, device) for value in saved]
    if values:
        present = [parameter.value for parameter in parameters]
        if array_module(*values) is not array_module(*present):
            raise ValueError(
                f"expected a network on the device {device}, got one elsewhere; name its device "
                "in load"
            )
    return values


def _unpacked(path: Path, header: dict[str, Any], arrays: dict[str, Array], device: str) -> States:
    """Return the states in a file, on `device`. ValueError where the header has no such states."""
    entries = header["layers"], header["moments"], header["memory"]
    try:
        return States(*(unpack(entry, arrays, device) for entry in entries))
    except ValueError:
        raise
    except Exception as error:
        # A damaged header can fail in many ways.
        raise ValueError(
            f"{path}: expected states of layers, optimiser and rule in the header, got something "
            f"else ({type(error).__name__}: {error}); the file is damaged: save it again"
        ) from error


def _restore(path: Path, states: States, network: Layer, optimiser: Optimiser, rule: Rule) -> None:
    """Hand over the states. If a layer refuses its state, all layers keep the states they had."""
    layers = list(network.walk())
    before = [copy.deepcopy(layer.saved()) for layer in layers]
    try:
        for layer, state in zip(layers, states.layers, strict=True):
            layer.restore(state)
    except Exception as error:
        refusing = layer
        for layer, state in zip(layers, before, strict=True):
            layer.restore(state)
        if isinstance(error, KeyError):
            raise ValueError(
                f"{path}: expected {error} in the state of {refusing}, got none; {CURE}"
            ) from error
        raise
    optimiser.restore(network.parameters(), states.optimiser)
    rule.restore(states.rule)
