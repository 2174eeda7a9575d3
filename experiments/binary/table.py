"""The table at the end of `binary`: accuracy beside memory, paired differences to float soft weights.

Run r of every configuration starts from the same soft weights and sees the same batches: differences are paired.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.binary.config import BinaryConfig
from experiments.binary.memory import kept
from experiments.forward.rules import BACKPROP, NUMBERS
from experiments.forward.table import difference, told
from experiments.table import aligned, final

HEADER = (
    *(
        "scheme",
        "",
        "train loss",
        "val. loss",
        "val. accuracy",
        "- float",
        "flips a weight",
        "clipped",
    ),
    *("weights kB", "with optimiser", "smaller", "total kB", "seconds per epoch"),
)
NOTE = """\
- float: mean difference of the accuracy over paired runs and its 95 % limit; float soft weights with the same
optimiser, step size and initial values. flips a weight: in the last epoch. with optimiser: binary weights and what the
optimiser remembers of them; smaller: how many times smaller than with float soft weights. total: all parameters and
what is remembered of them. Besides, every pass unpacks the signs of a layer as real numbers."""


def comparison(configs: Sequence[BinaryConfig], results: Sequence[dict[str, Any]]) -> str:
    """Return one line for each result."""
    by_config = dict(zip(configs, results, strict=True))
    rows = [
        _row(config, result, by_config.get(float_of(config)))
        for config, result in by_config.items()
    ]
    return "\n".join([aligned([HEADER, *rows]), NOTE])


def float_of(config: BinaryConfig) -> BinaryConfig:
    """Return what `config` is compared with."""
    return replace(config, soft="float")


def _row(
    config: BinaryConfig, result: dict[str, Any], floating: dict[str, Any] | None
) -> tuple[str, ...]:
    history, memory = result["history"], kept(config)
    binary, total = memory["binary"], sum(each.persistent for each in memory.values())
    floating_bytes = kept(float_of(config))["binary"].persistent
    epochs = sum(len(run) - run.count(None) for run in history["train_loss"])
    return (
        config.scheme() + told(result),
        "" if config.strategy == BACKPROP else NUMBERS.get(config.strategy, ""),
        final(history["train_loss"]),
        final(history["val_loss"]),
        final(history["val_accuracy"]),
        difference(result, floating, "val_accuracy"),
        final(history.get("flips")),
        final(history.get("clipped_share")),
        f"{binary.weights / 1000:.1f}",
        f"{binary.persistent / 1000:.1f}",
        f"{floating_bytes / binary.persistent:.2f}",
        f"{total / 1000:.1f}",
        f"{result['seconds']['total'] / epochs:.1f}",
    )
