"""Inputs that stay in memory as bytes and become numbers in the batch that needs them."""

from dataclasses import dataclass

from aopnp.arrays.backend import Array, array_module, to_device
from aopnp.arrays.kernels import decode


@dataclass(frozen=True)
class Coded:
    """Samples [n, N] with the values `levels[codes]`; `fit` and `evaluate` take them as inputs.

    Raises ValueError where codes or levels have another dtype or shape.
    """

    codes: Array
    """uint8 [n, N]."""
    levels: Array
    """The number that belongs to each byte [256]."""

    def __post_init__(self) -> None:
        codes = self.codes
        levels = self.levels
        if codes.dtype != "uint8" or codes.ndim != 2 or levels.shape != (256,):
            raise ValueError(
                "expected codes uint8 [n, N] and levels [256], "
                f"got {codes.dtype} {list(codes.shape)} and {list(levels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Array, axis: int = 0) -> Array:
        """Return the samples [R, M, N] of rows int64 [R, M], as `array.take(rows, 0)` does."""
        contiguous = array_module(rows).ascontiguousarray(rows)
        return decode(self.codes, self.levels, contiguous)

    def decoded(self) -> Array:
        """Return all samples as numbers [n, N]."""
        rows = array_module(self.codes).arange(len(self))
        return self.take(rows[None])[0]

    def to_device(self, device: str) -> "Coded":
        """Return these samples on `device`."""
        codes = to_device(self.codes, device)
        return Coded(codes, to_device(self.levels, device))
