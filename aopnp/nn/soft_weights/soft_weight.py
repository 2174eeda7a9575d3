"""The parameter of a binary layer: a weight w = sign(s) [R, N, P], of which only s is stored.

Gradient, tangent and displacement belong to w and have its shape; the straight-through estimator
applies them to s. An optimiser computes a displacement, and the storage moves s by it
(`aopnp.optim.SoftWeightUpdate`).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.nn.layer import Parameter
from aopnp.nn.soft_weights.storage import Storage

Uniform: TypeAlias = Callable[[int, int, Any], Array]
"""`uniform(step, n, xp)`: n variates of this weight and step, float64 [R or 1, n].

They are arrays of the array module xp.
"""


class SoftWeight(Parameter):
    """A parameter whose `value` is the form in which `storage` stores s.

    s lies in memory as dense weights do, as [R, P, N].
    """

    def __init__(
        self,
        s: Array,
        storage: Storage,
        uniform: Uniform,
        device: str = "cpu",
        step_factor: float = 1.0,
    ):
        """Store s [R, N, P], which lies on the host, on `device`.

        Every displacement is multiplied by `step_factor`.
        """
        stored = storage.encode(self._flat(s))
        super().__init__(to_device(stored, device))
        self.storage = storage
        self.uniform = uniform
        self.step_factor = step_factor
        self._shape, self._dtype = s.shape, s.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    def numbers(self) -> Array:
        """Return w [R, N, P], -1 or 1 in the network's dtype.

        Every call makes a new array, which lives only as long as the caller keeps it.
        """
        w = self.storage.signs(self.value, self._size, self.dtype)
        return self._shaped(w)

    def soft(self) -> Array:
        """Return s [R, N, P]."""
        s = self.storage.soft(self.value, self._size, self.dtype)
        return self._shaped(s)

    def zeros(self) -> Array:
        """Return a displacement of zeros [R, N, P]."""
        R, N, P = self.shape
        return array_module(self.value).zeros((R, P, N), self.dtype).swapaxes(-1, -2)

    def move(self, displacement: Array, step: int) -> None:
        """s <- clip(s + step_factor displacement, -1, 1), in place.

        displacement is [R, N, P]; `step` is the number of the training step.
        """
        d = self._flat(displacement)
        if self.step_factor != 1:
            d = d * self.step_factor

        def variates() -> Array:
            return self.uniform(step, self._size, array_module(d))

        self.storage.move(self.value, d, variates)

    @property
    def _size(self) -> int:
        _, N, P = self.shape
        return N * P

    def _shaped(self, flat: Array) -> Array:
        """Return flat weights [R, S], in the order of memory, as [R, N, P]."""
        R, N, P = self.shape
        return flat.reshape(R, P, N).swapaxes(-1, -2)

    @staticmethod
    def _flat(weights: Array) -> Array:
        """Return weights [R, N, P] as flat weights [R, S], in the order of memory."""
        transposed = weights.swapaxes(-1, -2)
        contiguous = array_module(weights).ascontiguousarray(transposed)
        return contiguous.reshape(len(weights), -1)
