"""Binary layers: dense and convolution with weights of one bit.

    w = sign(s)        ds = dw        s <- clip(s - step, -1, 1)

The layers are trained through soft weights s in [-1, 1] (Courbariaux et al. 2016, algorithm 1). The
straight-through estimator passes the gradient of w on to s. With `masked` the gradient stops
where s lies at an end, ds = dw 1[|s| < 1], as in Rastegari et al. 2016 for the sign. Tangents
stop there, too, so that the derivative in direction v is exactly <ds, v>. A weight that has
reached an end then stays there. Everything else is as in the layers with real weights: estimators,
feedback, tangents of weights.

A network with these layers is trained by `aopnp.optim.SoftWeightUpdate` around an optimiser of
real weights, or by `aopnp.optim.Bop`. Batch normalisation belongs after each of these layers,
because their outputs are sums of N signs.
"""

from typing import Any

import numpy as np

from aopnp.arrays.backend import Array, to_host
from aopnp.arrays.streams import Purpose, Streams
from aopnp.estimators.outer_products import dense
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn.conv import Conv2d
from aopnp.nn.dense import Dense
from aopnp.nn.init import Initialiser, uniform_latent
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights import FloatLatent, Levels, SoftWeight, Storage


class BinaryDense(Dense):
    """A Dense layer with weights -1 and 1; `storage` holds its soft weights.

    The other arguments are those of Dense. There is no bias by default, because batch normalisation
    would subtract it again. `scaled` multiplies every step of the soft weights by
    sqrt((fan_in + fan_out) / 1.5), as BinaryNet does.
    """

    weight: SoftWeight

    def __init__(
        self,
        *arguments: Any,
        storage: Storage = FloatLatent(),  # noqa: B008 - frozen
        bias: bool = False,
        masked: bool = False,
        scaled: bool = False,
        init: Initialiser = uniform_latent,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, init=init, **options)
        if not isinstance(storage, Storage):
            raise TypeError(
                f"expected a storage of soft weights, got {storage!r}; "
                "SOFT_WEIGHTS has them by name"
            )
        if masked and isinstance(storage, Levels) and storage.bits == 1:
            raise ValueError(
                "expected soft weights of more than one bit with masked gradients, got one bit: "
                "every weight lies at an end, and none would ever move; leave masked out"
            )
        self.storage = storage
        self.with_bias = bias
        self.masked = masked
        self.scaled = scaled

    def initialise(
        self, streams: Streams, dtype: Any = np.float64, device: str = "cpu", index: int = 0
    ) -> None:
        super().initialise(streams, dtype, device, index)
        self._streams = streams
        self._number = index
        factor = 1.0
        if self.scaled:
            factor = ((self.inputs + self.fan_out) / 1.5) ** 0.5
        s = to_host(self.weight.value)
        self.weight = SoftWeight(s, self.storage, self._rounding_noise, device, factor)
        if not self.with_bias:
            self.bias.value[...] = 0

    def _rounding_noise(self, step: int, n: int, xp: Any) -> Array:
        """Return n uniform variates of this layer and step, float64 [R or 1, n]."""
        return self._streams.uniform(Purpose.ROUNDING, self._number, step=step, size=n, xp=xp)

    def parameters(self) -> list[Parameter]:
        found = super().parameters()
        if not self.with_bias:
            found.remove(self.bias)
        return found

    def backward(
        self, g: Array, step: Step = EVALUATION, *, needs_input: bool = True
    ) -> Array | None:
        dx = super().backward(g, step, needs_input=needs_input)
        if self.masked and self.weight.grad is not None:
            self.weight.grad = dense(self.weight.grad) * self._inside()
            self.input_product.follow(self.weight)
        return dx

    def weights(self) -> Array:
        return self.weight.numbers()

    def affine_tangent(self, u: Array | None) -> Array:
        moved = self.weight.tangent
        if self.masked and moved is not None:
            self.weight.tangent = moved * self._inside()
        out = super().affine_tangent(u)
        self.weight.tangent = moved
        return out

    def _inside(self) -> Array:
        """Return where the soft weights lie between the ends, bool [R, N, P]."""
        return abs(self.weight.soft()) < 1

    def __repr__(self) -> str:
        return f"Binary{super().__repr__()}"


class BinaryConv2d(BinaryDense, Conv2d):
    """A Conv2d layer with weights -1 and 1, as BinaryDense is a Dense layer with such weights."""
