"""The byte ledger: what a network and its optimiser hold from one training step to the next, and what comes and goes.

    of a binary weight, in bits     soft weight   optimiser              float32 latent
    SGD                             b             0                      32               5 bits: 6.4 times smaller
    momentum, Bop                   b             32                     64
    Adam                            b             64                     96               5 bits: 1.39 times smaller

Few bits pay with an optimiser that remembers nothing; moments of 8 bits or 1, or factored ones, would be the remedy and
are not here. Gradients and displacements, one of each a weight during an update, are the same for all and left out.
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
    """What is stored of the parameters: bits in planes, or floats."""
    optimiser: int
    """What the optimiser remembers of them; moments begin with the first update."""
    transient: int
    """Binary weights as numbers -1 and 1 of the network's dtype, from a forward pass to the end of its backward."""

    @property
    def persistent(self) -> int:
        """What has to be kept between steps."""
        return self.weights + self.optimiser


def bytes_held(network: Layer, optimiser: Optimiser) -> dict[str, Bytes]:
    """Return the bytes of the `binary` weights and of the `real` parameters: biases, batch normalisation, the rest."""
    parameters = network.parameters()
    pairs = list(zip(parameters, optimiser.saved(parameters), strict=True))
    binary = [pair for pair in pairs if isinstance(pair[0], SoftWeight)]
    real = [pair for pair in pairs if not isinstance(pair[0], SoftWeight)]
    signs = sum(math.prod(parameter.shape) * parameter.dtype.itemsize for parameter, _ in binary)
    return {"binary": _bytes(binary, signs), "real": _bytes(real, 0)}


def _bytes(pairs: Iterable[tuple[Parameter, object]], transient: int) -> Bytes:
    weights, remembered = 0, 0
    for parameter, state in pairs:
        weights += parameter.value.nbytes
        arrays: dict[str, Array] = {}
        pack(state, "state", arrays)
        remembered += sum(array.nbytes for array in arrays.values())
    return Bytes(weights, remembered, transient)
