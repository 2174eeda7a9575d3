"""The parameter of a binary layer: a weight w = sign(s) [R, N, P], of which only s is stored, by a storage.

Gradient, tangent and displacement are those of w and have its shape; the straight-through estimator takes them for
those of s. An optimiser computes a displacement and the storage takes it (`aopnp.optim.SoftWeightUpdate`).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights.storage import Storage

Uniform: TypeAlias = Callable[[int, int, Any], Array]
"""`uniform(step, n, xp)`: n variates of this weight and step, float64 [R or 1, n], of array module xp."""


class SoftWeight(Parameter):
    """`value` is what `storage` holds of s, which lies as dense weights do in memory: as [R, P, N]."""

    def __init__(
        self,
        s: Array,
        storage: Storage,
        uniform: Uniform,
        device: str = "cpu",
        step_factor: float = 1.0,
    ):
        """Hold s [R, N, P], on the host, on `device`. Every displacement is multiplied by `step_factor`."""
        super().__init__(to_device(storage.encode(self._flat(s)), device))
        self.storage, self.uniform, self.step_factor = storage, uniform, step_factor
        self._shape, self._dtype = s.shape, s.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    def numbers(self) -> Array:
        """Return w [R, N, P], -1 or 1 in the network's dtype, made anew: it lives as long as somebody keeps it."""
        return self._shaped(self.storage.signs(self.value, self._size, self.dtype))

    def soft(self) -> Array:
        """Return s [R, N, P]."""
        return self._shaped(self.storage.soft(self.value, self._size, self.dtype))

    def zeros(self) -> Array:
        """Return a displacement of nothing [R, N, P]."""
        R, N, P = self.shape
        return array_module(self.value).zeros((R, P, N), self.dtype).swapaxes(-1, -2)

    def move(self, displacement: Array, step: int) -> None:
        """s <- clip(s + step_factor displacement [R, N, P], -1, 1), in place, as training step `step`."""
        d = self._flat(displacement)
        if self.step_factor != 1:
            d = d * self.step_factor
        self.storage.move(self.value, d, lambda: self.uniform(step, self._size, array_module(d)))

    @property
    def _size(self) -> int:
        _, N, P = self.shape
        return N * P

    def _shaped(self, flat: Array) -> Array:
        R, N, P = self.shape
        return flat.reshape(R, P, N).swapaxes(-1, -2)

    @staticmethod
    def _flat(weights: Array) -> Array:
        return (
            array_module(weights)
            .ascontiguousarray(weights.swapaxes(-1, -2))
            .reshape(len(weights), -1)
        )
