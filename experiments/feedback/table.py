"""The table at the end of `feedback`: final accuracies, paired differences to DFA and to back-propagation, costs.

Run r of every rule starts from the same weights and sees the same batches, so that differences are paired: mean over
runs of (rule - other) +- t sd / sqrt(runs), t the 97.5 % point of Student's t with runs - 1 degrees of freedom.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.deep.table import paired
from experiments.feedback.config import FeedbackConfig
from experiments.table import aligned, final

HEADER = ("rule", "train loss", "val. accuracy", "- dfa", "- bp", "flops / bp", "seconds per run")
NOTE = (
    "- dfa, - bp: mean difference of the accuracy over paired runs and its 95 % limit. flops: of all products of a "
    "training, with scores, gathers and memories."
)
PUBLISHED = (
    "Published for MNIST (100 epochs, an MLP of these widths): BP 0.9856, DFA 0.9758, DRTP 0.9559."
)


def comparison(configs: Sequence[FeedbackConfig], results: Sequence[dict[str, Any]]) -> str:
    """Return one line for each result; those of plain `dfa` and `bp` are what the others are compared with."""
    by_scheme = {config.scheme(): result for config, result in zip(configs, results, strict=True)}
    references = [by_scheme.get(name) for name in ("dfa", "bp")]
    rows = [_row(name, result, *references) for name, result in by_scheme.items()]
    published = [PUBLISHED] if configs[0].experiment.startswith("feedback-mnist") else []
    return "\n".join([aligned([HEADER, *rows]), NOTE, *published])


def _row(
    name: str, result: dict[str, Any], dfa: dict[str, Any] | None, bp: dict[str, Any] | None
) -> tuple[str, ...]:
    history = result["history"]
    return (
        name if result["status"] == "finished" else f"{name} ({result['status']})",
        final(history["train_loss"]),
        final(history["val_accuracy"]),
        _difference(result, dfa),
        _difference(result, bp),
        "-" if bp is None else f"{_flops(result) / _flops(bp):.3f}",
        f"{np.mean(result['seconds']['per_run']):.1f}",
    )


def _difference(result: dict[str, Any], other: dict[str, Any] | None) -> str:
    if other is None or other is result:
        return "-"
    difference = _last_accuracy(result) - _last_accuracy(other)
    if not np.isfinite(difference).all():
        return "not finite"
    mean, limit = paired(difference)
    return f"{mean:+.4f}" if np.isnan(limit) else f"{mean:+.4f} +- {limit:.4f}"


def _last_accuracy(result: dict[str, Any]) -> Any:
    return np.array([run[-1] for run in result["history"]["val_accuracy"]], dtype=float)


def _flops(result: dict[str, Any]) -> float:
    """Return the flops of an epoch: of those that were trained before a divergence."""
    return float(np.nanmean(np.array(result["history"]["flops"], dtype=float)))
