"""Inputs that stay in memory as bytes and become numbers in the batch that needs them."""

from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.arrays.kernels import decode


@dataclass(frozen=True)
class Coded:
    """Samples [n, N] whose values are `levels[codes]`: in the place of an array of inputs for `fit` and `evaluate`."""

    codes: Array
    """uint8 [n, N]."""
    levels: Array
    """The number that each byte stands for [256]."""

    def __post_init__(self) -> None:
        if self.codes.dtype != "uint8" or self.codes.ndim != 2 or self.levels.shape != (256,):
            raise ValueError(
                f"expected codes uint8 [n, N] and levels [256], got {self.codes.dtype} {list(self.codes.shape)} "
                f"and {list(self.levels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array, axis: int = 0) -> Array:
        """Return the samples [R, M, N] of rows int64 [R, M], as `array.take(rows, 0)` does."""
        return decode(self.codes, self.levels, array_module(rows).ascontiguousarray(rows))

    def decoded(self) -> Array:
        """Return all samples as numbers [n, N]."""
        return self.take(array_module(self.codes).arange(len(self))[None])[0]

    def to_device(self, device: str) -> "Coded":
        """Return these samples on `device`."""
        return Coded(to_device(self.codes, device), to_device(self.levels, device))
