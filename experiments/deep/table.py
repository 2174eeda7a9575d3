"""The table at the end of a deep experiment: final values, paired differences to the exact gradient, and what it cost.

difference = mean over runs of (estimated - exact) +- t sd / sqrt(runs)      t: 97.5 % point of Student's t, runs - 1

Run r of both starts from the same weights and sees the same batches, so that their difference varies less than either.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from experiments.table import aligned, final

HEADER = (
    *("scheme", "train loss", "val. loss", "- exact", "val. accuracy", "- exact"),
    *("flops / exact", "seconds per run"),
)
NOTE = (
    "- exact: mean difference over paired runs and its 95 % limit. flops: of all products of a training, with scores, "
    "gathers and memories."
)


def comparison(results: Sequence[dict[str, Any]]) -> str:
    """Return one line for each result; the exact one among them is what the others are compared with."""
    exact = next((result for result in results if result["config"]["policy"] == "exact"), None)
    return "\n".join([aligned([HEADER, *(_row(result, exact) for result in results)]), NOTE])


def scheme(config: dict[str, Any]) -> str:
    """Return a configuration in words."""
    if config["policy"] == "exact":
        return "exact"
    memory = "" if config["memory"] == "none" else f", memory {config['memory']}"
    return f"{config['policy']}{memory}, {config['ratio']:g} of {config['where'].replace(',', ' and ')}"


def _row(result: dict[str, Any], exact: dict[str, Any] | None) -> tuple[str, ...]:
    history, seconds = result["history"], result["seconds"]["per_run"]
    flops, exact_flops = (np.array(history[name], dtype=float) for name in ("flops", "exact_flops"))
    name = scheme(result["config"])
    return (
        name if result["status"] == "finished" else f"{name} ({result['status']})",
        final(history["train_loss"]),
        final(history["val_loss"]),
        _difference(result, exact, "val_loss"),
        final(history["val_accuracy"]),
        _difference(result, exact, "val_accuracy"),
        f"{np.nansum(flops) / np.nansum(exact_flops):.3f}",
        f"{np.mean(seconds):.1f}",
    )


def _difference(result: dict[str, Any], exact: dict[str, Any] | None, name: str) -> str:
    if exact is None or exact is result:
        return "-"
    difference = _last(result, name) - _last(exact, name)
    if not np.isfinite(difference).all():
        return "not finite"
    mean, limit = paired(difference)
    return f"{mean:+.4f}" if np.isnan(limit) else f"{mean:+.4f} +- {limit:.4f}"


def paired(difference: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and 95 % limit of the paired differences of all runs; one run alone has no limit: NaN."""
    runs = len(difference)
    if runs < 2:
        return float(difference.mean()), float("nan")
    error = difference.std(ddof=1) / np.sqrt(runs)
    return float(difference.mean()), float(t.ppf(0.975, runs - 1) * error)


def _last(result: dict[str, Any], name: str) -> NDArray[np.float64]:
    return np.array([run[-1] for run in result["history"][name]], dtype=float)
