"""The table at the end of `forward`: final values, paired differences to the naive forward gradient, what it cost.

Run r of every configuration starts from the same weights and sees the same batches, so that differences are paired.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.deep.table import paired
from experiments.forward.config import ForwardConfig
from experiments.forward.kept import kept_bytes
from experiments.forward.rules import BACKPROP, NUMBERS
from experiments.table import aligned, final

HEADER = (
    *("scheme", "", "train loss", "val. loss", "- naive", "val. accuracy", "clipped"),
    *("flops / backprop", "MB kept", "seconds per epoch"),
)
NOTE = """\
- naive: mean difference over paired runs to the first forward gradient of the table, and its 95 % limit. clipped:
share of the derivatives that were cut. flops: of all products of an epoch; drawing directions is not counted. MB kept:
what rule and optimiser remember from step to step; of directions only the key is kept (S1)."""


def comparison(configs: Sequence[ForwardConfig], results: Sequence[dict[str, Any]]) -> str:
    """Return one line for each result."""
    pairs = list(zip(configs, results, strict=True))
    exact = next((result for config, result in pairs if config.strategy == BACKPROP), None)
    naive = next((result for config, result in pairs if config.strategy != BACKPROP), None)
    return "\n".join(
        [aligned([HEADER, *(_row(config, result, exact, naive) for config, result in pairs)]), NOTE]
    )


def _row(
    config: ForwardConfig,
    result: dict[str, Any],
    exact: dict[str, Any] | None,
    naive: dict[str, Any] | None,
) -> tuple[str, ...]:
    history, epochs = (
        result["history"],
        sum(len(run) - run.count(None) for run in result["history"]["flops"]),
    )
    return (
        config.scheme() + told(result),
        NUMBERS.get(config.strategy, ""),
        final(history["train_loss"]),
        final(history["val_loss"]),
        difference(result, naive, "val_loss"),
        final(history["val_accuracy"]),
        final(history.get("clipped_share")),
        "-" if exact is None else f"{flops(result) / flops(exact):.2f}",
        f"{kept_bytes(config) / 1e6:.1f}",
        f"{result['seconds']['total'] / epochs:.1f}",
    )


def told(result: dict[str, Any]) -> str:
    """Return what is said of a divergence behind the name."""
    return (
        ""
        if result["status"] == "finished"
        else f" (diverged in epoch {result['diverged_at']['epoch']})"
    )


def difference(result: dict[str, Any], other: dict[str, Any] | None, name: str) -> str:
    """Return the paired difference of the last values of the curve `name` as text."""
    if other is None or other is result:
        return "-"
    ours, theirs = (
        np.array([run[-1] for run in each["history"][name]], dtype=float)
        for each in (result, other)
    )
    if ours.shape != theirs.shape or not np.isfinite(ours - theirs).all():
        return "-"
    mean, limit = paired(ours - theirs)
    return f"{mean:+.4f}" if np.isnan(limit) else f"{mean:+.4f} +- {limit:.4f}"


def flops(result: dict[str, Any]) -> float:
    """Return the flops of an epoch: of those that were trained before a divergence."""
    return float(np.nanmean(np.array(result["history"]["flops"], dtype=float)))
