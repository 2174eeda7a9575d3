"""Agreement with the published results: Welch z of a history against summary statistics of the authors' runs.

`published.json` carries those statistics, never the runs: it is what `summarise` makes of the recorded runs,
written with `json.dump(..., indent=1)`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypedDict
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Runs = Sequence[Sequence[float | None]]

# Energy: 20 runs at the command's fixed seed. A correct implementation stayed below |z| = 3.8 everywhere and,
# in 70 seeds, below a root mean square of 1.51 over its 26 final losses (13 configurations, two losses each).
ENERGY_FINAL_LIMIT = 5.0
ENERGY_CURVE_LIMIT = 5.5
ENERGY_FINALS_RMS_LIMIT = 1.7
# MNIST: 10 runs, final losses only, since lost classes make the curves multimodal. The short form compares
# epochs 1 and 2 of 4 configurations with 5 runs each.
MNIST_FINAL_LIMIT = 4.5
MNIST_SHORT_LIMIT = 6.0

EPOCHS = {"energy": (1, 2, 5, 10, 25, 50, 100), "mnist": (1, 2, 5, 10, 20, 30)}
RECORDED_K = {"energy": (18, 3), "mnist": (32, 8)}
LOSSES = {"train_loss": "loss", "val_loss": "loss_val"}  # quantity -> array in a recorded file
ACCURACIES = {"train_accuracy": "acc", "val_accuracy": "acc_val"}
QUANTITIES = {"energy": LOSSES, "mnist": LOSSES | ACCURACIES}
RUNS = 10
SOURCE = (
    "Hernandez, Rini, Duman: Speeding-Up Back-Propagation in DNN: Approximate Outer Product with Memory, "
    "arXiv 2110.09164; computed from the result files published beside the authors' code. Energy losses are "
    "natural logarithms. The accuracies of mnist 'exact' belong to other runs than its losses."
)


class Moments(TypedDict):
    """Mean and standard deviation (ddof = 1) over the runs, one value per listed epoch."""

    mean: list[float]
    sd: list[float]


class Dataset(TypedDict):
    """One data set: the listed epochs, then moments by configuration and quantity."""

    epochs: list[int]
    configurations: dict[str, dict[str, Moments]]


class Published(TypedDict):
    """The content of published.json; every pair of moments is over n runs."""

    source: str
    n: int
    datasets: dict[str, Dataset]


@dataclass(frozen=True)
class Agreement:
    """One comparison: z = (mean - published_mean) / sqrt(sd^2 / n + published_sd^2 / published_n)."""

    dataset: str
    configuration: str
    quantity: str
    epoch: int
    mean: float
    published_mean: float
    z: float
    limit: float

    @property
    def agrees(self) -> bool:
        """Whether |z| <= limit; a z that is not finite never agrees."""
        return math.isfinite(self.z) and abs(self.z) <= self.limit


def on_scale(dataset: str, quantity: str, values: Array) -> Array:
    """The values as they are compared: log loss for energy, whose losses are log-normal, else unchanged."""
    if dataset == "energy" and quantity in LOSSES:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(values)
    return values


def moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation (ddof = 1) of values [n]; NaN where one of them is not finite."""
    if not np.isfinite(values).all():
        return math.nan, math.nan
    return float(values.mean()), float(values.std(ddof=1))


def welch_z(first: tuple[float, float, int], second: tuple[float, float, int]) -> float:
    """Welch's z of two samples (mean, sd, n); infinite where the means differ without any spread."""
    (mean1, sd1, n1), (mean2, sd2, n2) = first, second
    difference, error = mean1 - mean2, math.sqrt(sd1**2 / n1 + sd2**2 / n2)
    if error == 0.0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / error


def configurations(dataset: str) -> dict[str, str]:
    """Result-file stem -> recorded file name of the 13 published configurations of a data set."""
    names = {"exact": f"{dataset}_baseline.npz"}
    memories = (("row", "mem"), ("none", "nomem"))
    for k, policy, (ours, theirs) in product(
        RECORDED_K[dataset], ("topk", "weightedk", "randk"), memories
    ):
        names[f"{policy}-{ours}-k{k}"] = f"{dataset}_{policy}_{theirs}_K{k}.npz"
    return names


def summarise(recorded_dir: Path) -> Published:
    """The content of published.json, from the recorded runs `<dataset>_<policy>_<mem|nomem>_K<k>.npz`."""
    datasets = {
        dataset: Dataset(
            epochs=list(epochs),
            configurations={
                stem: _summary(dataset, recorded_dir / file)
                for stem, file in configurations(dataset).items()
            },
        )
        for dataset, epochs in EPOCHS.items()
    }
    return Published(source=SOURCE, n=RUNS, datasets=datasets)


def _summary(dataset: str, path: Path) -> dict[str, Moments]:
    if not path.is_file():
        raise ValueError(
            f"expected the recorded runs {path.name} in {path.parent}, got no such file"
        )
    names = QUANTITIES[dataset]
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            runs = {
                quantity: np.asarray(arrays[name], np.float64) for quantity, name in names.items()
            }
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"expected arrays {list(names.values())} in {path}, got {error}"
        ) from error
    return {
        quantity: _epoch_moments(dataset, quantity, values, path)
        for quantity, values in runs.items()
    }


def _epoch_moments(dataset: str, quantity: str, runs: Array, path: Path) -> Moments:
    shape = (RUNS, EPOCHS[dataset][-1])
    if runs.shape != shape or not np.isfinite(runs).all():
        raise ValueError(
            f"expected finite {quantity} {shape} in {path}, got {runs.shape} or not finite"
        )
    if quantity in ACCURACIES and not (runs.min() >= 0 and runs.max() <= 1):
        raise ValueError(f"expected {quantity} as shares of 1 in {path}, got up to {runs.max():g}")
    pairs = [moments(on_scale(dataset, quantity, runs[:, epoch - 1])) for epoch in EPOCHS[dataset]]
    return Moments(mean=[round(mean, 9) for mean, _ in pairs], sd=[round(sd, 9) for _, sd in pairs])


def load_published() -> Published:
    """The statistics that come with the project (published.json beside this file)."""
    published: Published = json.loads(
        Path(__file__).with_name("published.json").read_text(encoding="utf-8")
    )
    return published


def compare(
    dataset: str,
    name: str,
    history: Mapping[str, Runs],
    *,
    final_limit: float,
    curve_limit: float,
    epochs: Sequence[int] | None = None,
) -> list[Agreement]:
    """Compare both losses [runs][epochs] at the published epochs, or at those of them named in `epochs`.

    The last published epoch is held to `final_limit`, the others to `curve_limit`. A value that is null,
    missing or not finite never agrees. ValueError for what has no published record and for fewer than 2 runs.
    """
    published = load_published()
    known, by_quantity = _record(published, dataset, name)
    chosen = known if epochs is None else epochs
    if not chosen or not set(chosen) <= set(known):
        raise ValueError(
            f"expected one or more epochs of {known} for {dataset}, got {list(chosen)}"
        )
    rows = []
    for quantity, epoch in product(LOSSES, chosen):
        recorded, at = by_quantity[quantity], known.index(epoch)
        ours = on_scale(dataset, quantity, _values(history[quantity], epoch))
        (mean, sd), published_mean = moments(ours), recorded["mean"][at]
        z = welch_z((mean, sd, len(ours)), (published_mean, recorded["sd"][at], published["n"]))
        limit = final_limit if epoch == known[-1] else curve_limit
        rows.append(Agreement(dataset, name, quantity, epoch, mean, published_mean, z, limit))
    return rows


def _record(published: Published, dataset: str, name: str) -> tuple[list[int], dict[str, Moments]]:
    if dataset not in published["datasets"]:
        raise ValueError(
            f"expected a data set among {sorted(published['datasets'])}, got {dataset!r}"
        )
    record = published["datasets"][dataset]
    if name not in record["configurations"]:
        raise ValueError(
            f"expected a configuration among {sorted(record['configurations'])}, got {name!r}"
        )
    return record["epochs"], record["configurations"][name]


def _values(runs: Runs, epoch: int) -> Array:
    if len(runs) < 2:
        raise ValueError(
            f"expected 2 or more runs to know their spread, got {len(runs)}: raise --runs"
        )
    return np.array(
        [run[epoch - 1] if epoch <= len(run) else None for run in runs], dtype=np.float64
    )


def root_mean_square(rows: Sequence[Agreement]) -> float:
    """sqrt(mean of z^2), NaN where a z is NaN; ValueError without rows."""
    if not rows:
        raise ValueError(
            "expected at least one comparison, got none: compare a configuration first"
        )
    return math.sqrt(sum(row.z * row.z for row in rows) / len(rows))


def report(rows: Sequence[Agreement]) -> str:
    """A table of the comparisons, one line each; those beyond their limit end in DISAGREES."""
    head = ("data set", "configuration", "quantity", "epoch", "mean", "published", "z", "limit")
    return "\n".join([_line(*head), *map(_row, rows)])


def _row(row: Agreement) -> str:
    quantity = f"log {row.quantity}" if row.dataset == "energy" else row.quantity
    numbers = (f"{row.mean:.4f}", f"{row.published_mean:.4f}", f"{row.z:.2f}", f"{row.limit:g}")
    line = _line(row.dataset, row.configuration, quantity, str(row.epoch), *numbers)
    return line if row.agrees else f"{line}  DISAGREES"


def _line(dataset: str, configuration: str, quantity: str, *numbers: str) -> str:
    return f"{dataset:9}{configuration:21}{quantity:15}" + "".join(
        f"{number:>10}" for number in numbers
    )
