"""Checks that saved states fit the network, the optimiser and the rule that are to go on with them.

A saved state is compared with a pattern, which is a state of the right structure:

    layer        the arrays that it holds now
    product      the state that its estimator starts with
    optimiser    the state of a copy of the parameter after a first step
    rule         its `empty_state`

Classes must agree, as must the number of parts, and the dtype and the shape of every array. Sizes
that depend on the data, such as the rows of a batch, are not known before training. An estimator
therefore starts with terms that have no entries, and a size of the pattern that is the number of
terms, or zero, may be any other size.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from aopnp.arrays.backend import array_module
from aopnp.arrays.streams import Streams
from aopnp.estimators.product import Product
from aopnp.estimators.step import Step
from aopnp.nn.layer import Layer, Parameter
from aopnp.optim import Optimiser
from aopnp.training.rules import Rule
from aopnp.training.serialise import is_array

TERMS = 1021
"""Number of terms with which an estimator starts: a prime, as other sizes hardly ever are."""


class States(NamedTuple):
    """The states in a file."""

    layers: list[dict[str, Any]]
    """The state of each layer, in the order of `Layer.walk`."""
    optimiser: list[Any]
    """The optimiser's state of each parameter; None before the first step."""
    rule: Any
    """The state of the rule; None if it keeps none, or has not kept one yet."""


def check_states(
    states: States, network: Layer, optimiser: Optimiser, rule: Rule, streams: Streams
) -> None:
    """Raise ValueError, naming the first difference, unless the states fit. Nothing is changed."""
    layers, parameters = list(network.walk()), network.parameters()
    _check_parts("layer", states.layers, layers)
    _check_parts("optimiser", states.optimiser, parameters)
    for number, layer in enumerate(layers):
        _check_layer(f"layer/{number}", states.layers[number], layer, network)
    _check_optimiser(states.optimiser, optimiser, parameters)
    if states.rule is not None:
        pattern = rule.empty_state(network, streams)
        if pattern is not None:
            _compare("rule", states.rule, pattern)


def _check_parts(name: str, saved: Any, present: Sequence[Any]) -> None:
    """Raise ValueError unless `saved` is a list with a state for each of the parts `present`."""
    if not isinstance(saved, list) or len(saved) != len(present):
        raise ValueError(f"expected {name} to be a list of {len(present)}, got {_described(saved)}")


def _check_layer(name: str, saved: Any, layer: Layer, network: Layer) -> None:
    """Raise ValueError unless the layer can take over the state `saved`."""
    products, present = layer.products(), layer.saved()
    if not isinstance(saved, dict):
        raise ValueError(f"expected {name} to be a dict, got {_described(saved)}")
    if not products.keys() <= saved.keys():
        raise ValueError(
            f"expected {name} to be a dict with {', '.join(products)}, got {_described(saved)}"
        )
    for entry, state in saved.items():
        if entry in products:
            if state is not None:
                pattern, terms = _started(products[entry], network)
                _compare(f"{name}/{entry}", state, pattern, free=(0, terms))
        elif present.get(entry) is not None:
            # The layer itself refuses entries that only one of them has, a feedback's for example.
            _compare(f"{name}/{entry}", state, present[entry])


def _started(product: Product, network: Layer) -> tuple[Any, int]:
    """Return the state that the product's estimator starts with, and the number of its terms.

    An estimator that keeps K terms wants at least K: the number is doubled until that is so.
    """
    parameter, terms = network.parameters()[0], TERMS
    while True:
        no_entries = np.zeros((parameter.shape[0], terms, 0), parameter.dtype)
        try:
            return product.estimator.start(no_entries, no_entries), terms
        except ValueError:
            if terms > 2**30:
                raise
        terms *= 2


def _check_optimiser(
    saved: Sequence[Any], optimiser: Optimiser, parameters: Sequence[Parameter]
) -> None:
    """Raise ValueError unless the optimiser can take over the states `saved`."""
    before = optimiser.saved(parameters)
    try:
        for number, parameter in enumerate(parameters):
            if saved[number] is not None:
                pattern = _first_state(optimiser, parameter)
                _compare(f"optimiser/{number}", saved[number], pattern)
    finally:
        # Drops the states of the copies.
        optimiser.restore(parameters, before)


def _first_state(optimiser: Optimiser, parameter: Parameter) -> Any:
    """Return the optimiser's state of a copy of the parameter, after a step along zeros."""
    twin, xp = copy(parameter), array_module(parameter.value)
    twin.value = parameter.value.copy()
    twin.grad = xp.zeros(parameter.shape, parameter.dtype)
    with np.errstate(all="ignore"):
        optimiser.update([twin], Step(lr=np.ones(1)))
    (state,) = optimiser.saved([twin])
    return state


def _compare(name: str, saved: Any, pattern: Any, free: Sequence[int] = ()) -> None:
    """Raise ValueError unless `saved` has the structure of `pattern`; sizes in `free` are any."""
    if not _alike(saved, pattern, free):
        raise ValueError(
            f"expected {name} to be {_described(pattern, free)}, got {_described(saved)}"
        )
    for part, of_saved, of_pattern in _parts(saved, pattern):
        # A tuple holds the states of nested optimisers: one of them may not have begun.
        if not (isinstance(pattern, tuple) and of_saved is None):
            _compare(f"{name}/{part}", of_saved, of_pattern, free)


def _alike(saved: Any, pattern: Any, free: Sequence[int]) -> bool:
    """Return whether two values agree, apart from the parts inside them."""
    if is_array(pattern):
        if not is_array(saved) or saved.dtype != pattern.dtype:
            return False
        if saved.ndim != pattern.ndim:
            return False
        sizes = zip(saved.shape, pattern.shape, strict=True)
        return all(got == wanted or wanted in free for got, wanted in sizes)
    if type(pattern) is float and is_array(saved):
        # A sum that starts as the number 0.0.
        return True
    if type(saved) is not type(pattern):
        return False
    if isinstance(pattern, list | tuple):
        return len(saved) == len(pattern)
    if isinstance(pattern, dict):
        return pattern.keys() <= saved.keys()
    return True


def _parts(saved: Any, pattern: Any) -> list[tuple[Any, Any, Any]]:
    """Return the parts inside two values that are alike: (name, part of saved, part of pattern)."""
    if is_array(saved):
        return []
    if is_dataclass(pattern):
        names = [field.name for field in fields(pattern)]
        return [(name, getattr(saved, name), getattr(pattern, name)) for name in names]
    if isinstance(pattern, list | tuple):
        return [(i, saved[i], part) for i, part in enumerate(pattern)]
    if isinstance(pattern, dict):
        return [(name, saved[name], part) for name, part in pattern.items()]
    return []


def _described(value: Any, free: Sequence[int] = ()) -> str:
    """Return the structure of a value as a text; * is any size."""
    if is_array(value):
        sizes = ["*" if size in free else str(size) for size in value.shape]
        return f"{value.dtype} [{', '.join(sizes)}]"
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, value)) or 'nothing'}"
    return f"a {type(value).__name__}"
