"""The curves of an epoch: measurements and costs, collected from the layers and the rule.

They are collected once an epoch, so that no step waits for a device.
"""

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_host
from aopnp.nn.layer import Layer
from aopnp.training.rules import Rule


def observations(network: Layer, rule: Rule) -> dict[str, Array]:
    """Return the measurements of all layers and of the rule: name -> mean [R], on the host.

    A name ends in the layer's number where several layers have measured something.
    """
    of_layers = {number: layer.observations() for number, layer in enumerate(network.walk())}
    measuring = {number: seen for number, seen in of_layers.items() if seen}
    curves = {}
    for number, seen in measuring.items():
        for name, value in seen.items():
            if len(measuring) > 1:
                name = f"{name}/{number}"
            curves[name] = to_host(value)
    for name, value in rule.observations().items():
        curves[name] = to_host(value)
    return curves


def costs(network: Layer, rule: Rule) -> dict[str, Array]:
    """Return the costs of all layers and of the rule together: name -> total [R], on the host."""
    totals: dict[str, Array] = {}
    spenders: list[Layer | Rule] = [*network.walk(), rule]
    for spender in spenders:
        for name, value in spender.spent().items():
            totals[name] = totals.get(name, 0.0) + to_host(value)
    return totals


def accuracy(name: str, correct: list[Array | None], rows: int) -> dict[str, Array]:
    """Return the curve `name`: the share of `rows` rows that were classified correctly [R].

    Empty where the loss knows no classes.
    """
    counts = [count for count in correct if count is not None]
    if not counts:
        return {}
    return {name: total(counts) / rows}


def total(values: list[Array]) -> Array:
    """Return the sum of arrays [R], on the host."""
    return total_of_steps(to_host(array_module(*values).stack(values)))


def total_of_steps(values: Array) -> Array:
    """Return the sum over the first axis of values [steps, R].

    The sum runs along contiguous rows: NumPy's order of summation then does not depend on R, and
    the sum of a replica in a stack is its sum alone.
    """
    return np.ascontiguousarray(values.T).sum(-1)


def finite_weights(network: Layer) -> Array:
    """Return whether all parameters of each replica are finite [R], on the host."""
    finite = []
    for parameter in network.parameters():
        value = parameter.value
        flags = array_module(value).isfinite(value).reshape(len(value), -1)
        finite.append(to_host(flags.all(1)))
    return np.all(finite, axis=0)
