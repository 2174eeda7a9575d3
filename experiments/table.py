"""The table at the end of a command: final values, mean and spread over the runs, and what they cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np

HEADER = ("scheme", "train loss", "val. loss", "val. accuracy", "outer products")


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the final loss and accuracy of each result, mean and standard deviation over its runs, as text.

    The last column is the share K/M of the outer products that the exact gradient multiplies.
    """
    return aligned([HEADER, *(_row(result) for result in results)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return cells as text in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    config, history = result["config"], result["history"]
    exact = config["policy"] == "exact"
    scheme = (
        "exact" if exact else f"{config['policy']}, memory {config['memory']}, K = {config['k']}"
    )
    share = 1.0 if exact else config["k"] / config["batch_size"]
    marked = scheme if result["status"] == "finished" else f"{scheme} ({result['status']})"
    finals = (final(history.get(name)) for name in ("train_loss", "val_loss", "val_accuracy"))
    return (marked, *finals, f"{100 * share:.1f} %")


def final(runs: list[list[float | None]] | None) -> str:
    """Return the last value of each run as text: mean and standard deviation."""
    if runs is None:
        return "-"
    last = np.array([run[-1] for run in runs], dtype=float)
    if not np.isfinite(last).all():
        return "not finite"
    spread = f" +- {last.std(ddof=1):.4f}" if len(last) > 1 else ""
    return f"{last.mean():.4f}{spread}"
