"""How many terms of a sum to keep: a number, one for each replica, or a rule.

    k = min(max(trunc(n ratio), minimal), n)            (Adelman et al. 2021, arXiv 1805.08079)

The floating-point product is truncated, not rounded, as published: 100 * 0.29 keeps 28. A layer
with n <= minimal terms is exact.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from aopnp.arrays.backend import Array
from aopnp.arrays.per_replica import replica_values


@runtime_checkable
class CountRule(Protocol):
    """A rule for k: `rule(n, epoch) -> k`, a number or [R]."""

    def __call__(self, n: int, epoch: int) -> float | Array:
        """Return how many of n terms to keep in an epoch; epochs are counted from 1."""
        ...


TermCount: TypeAlias = int | Array | CountRule
"""A number of terms, an array [R] of them, or a rule."""


@dataclass(frozen=True)
class Ratio:
    """Keep the share `ratio` of the terms, but at least `minimal`; both numbers or [R]."""

    ratio: float | Array
    minimal: int | Array = 1

    def __post_init__(self) -> None:
        _check_ratio(self.ratio)
        if np.min(self.minimal) < 0:
            raise ValueError(f"expected a minimal K of at least 0, got {self.minimal}")

    def __call__(self, n: int, epoch: int) -> Array:
        """Return k, a number or [R]."""
        share = np.trunc(n * np.asarray(self.ratio))
        return np.minimum(np.maximum(share, self.minimal), n)


@dataclass(frozen=True)
class EpochRatios:
    """A schedule: the share `ratios[e - 1]` in epoch e, and the last one in all later epochs.

    At least `minimal` terms are kept.
    """

    ratios: tuple[float, ...]
    minimal: int = 1

    def __post_init__(self) -> None:
        if not self.ratios:
            raise ValueError("expected at least one ratio in a schedule of K, got none")
        _check_ratio(np.array(self.ratios))

    def __call__(self, n: int, epoch: int) -> Array:
        """Return k."""
        ratio = self.ratios[min(epoch, len(self.ratios)) - 1]
        return Ratio(ratio, self.minimal)(n, epoch)


def check_count(count: TermCount) -> None:
    """Raise ValueError for a number K that is no integer of at least 0."""
    if isinstance(count, CountRule):
        return
    k = np.asarray(count)
    if k.dtype.kind not in "iu" or k.min() < 0:
        raise ValueError(
            f"expected K to be an integer of at least 0, got k = {count!r}; "
            "keep 0 or more of the products"
        )


class TermCounts(NamedTuple):
    """How many of n terms every replica keeps."""

    k: Array
    """int64 [R], on the host."""
    everything: bool
    """Whether all replicas keep all terms."""
    partly_everything: bool
    """Whether some replica keeps all terms."""


def counts_of(count: TermCount, n: int, epoch: int, replicas: int) -> TermCounts:
    """Return how many of n terms `count` keeps.

    Raises ValueError where a fixed K is larger than n.
    """
    if isinstance(count, CountRule):
        count = count(n, epoch)  # type: ignore[assignment]
    k = replica_values(count, replicas, np.int64)  # type: ignore[arg-type]
    if k.max() > n:
        raise ValueError(
            f"expected 0 <= K <= M = {n}, got k = {k.max()}; lower k or enlarge the batch"
        )
    return TermCounts(k, bool(k.min() == n), bool(k.max() == n))


def _check_ratio(ratio: float | Array) -> None:
    given = np.asarray(ratio)
    if not np.all((given >= 0) & (given <= 1)):
        raise ValueError(f"expected a ratio from 0 to 1, got {ratio}; 1 keeps every outer product")
