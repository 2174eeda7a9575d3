"""The byte ledger: bytes held from one training step to the next, and bytes that come and go.

    bits of a binary weight    soft weight    optimiser    both, with a float32 soft weight
    SGD                        b              0            32    at b = 5: 6.4 times as many
    momentum, Bop              b              32           64
    Adam                       b              64           96    at b = 5: 1.39 times as many

Few bits pay with an optimiser that keeps no state. Moments of 8 bits or 1, or factored moments,
would be the remedy; this library has none. Gradients and displacements, one number of each for a
weight during an update, are the same for all optimisers and are left out.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from aopnp.arrays.backend import Array
from aopnp.nn.layer import Layer, Parameter
from aopnp.nn.soft_weights import SoftWeight
from aopnp.optim import Optimiser
from aopnp.training.serialise import pack


class Bytes(NamedTuple):
    """Bytes of all replicas together."""

    weights: int
    """Stored values of the parameters: planes of bits, or floats."""
    optimiser: int
    """State of the optimiser; moments begin with the first update."""
    transient: int
    """Binary weights as numbers -1 and 1 of the network's dtype.

    They live from a forward pass to the end of its backward pass.
    """

    @property
    def persistent(self) -> int:
        """Bytes that are held between steps."""
        return self.weights + self.optimiser


def bytes_held(network: Layer, optimiser: Optimiser) -> dict[str, Bytes]:
    """Return the bytes of the `binary` weights and of the `real` parameters.

    The real parameters are all others: biases, the parameters of batch normalisation, real
    weights.
    """
    parameters = network.parameters()
    binary, real = [], []
    signs = 0
    for parameter, state in zip(parameters, optimiser.saved(parameters), strict=True):
        if isinstance(parameter, SoftWeight):
            binary.append((parameter, state))
            signs += math.prod(parameter.shape) * parameter.dtype.itemsize
        else:
            real.append((parameter, state))
    return {"binary": _bytes(binary, signs), "real": _bytes(real, 0)}


def _bytes(pairs: Iterable[tuple[Parameter, object]], transient: int) -> Bytes:
    """Return the bytes of parameters and of their optimiser's states."""
    weights, of_states = 0, 0
    for parameter, state in pairs:
        weights += parameter.value.nbytes
        arrays: dict[str, Array] = {}
        pack(state, "state", arrays)
        of_states += sum(array.nbytes for array in arrays.values())
    return Bytes(weights, of_states, transient)
