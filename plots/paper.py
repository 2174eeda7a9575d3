"""Figures 2a to 3c of the paper (arXiv 2110.09164): its two experiments, three numbers of kept rows each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from plots.results import Array, Method, read_all, read_recorded
from plots.style import COLOURS, Curve, averaged, draw_legend, draw_panel, run_count, two_panels

FIGURES = {
    "2a": ("energy", 18), "2b": ("energy", 9), "2c": ("energy", 3),
    "3a": ("mnist", 32), "3b": ("mnist", 16), "3c": ("mnist", 8),
}  # fmt: skip
TRANSFORMS: dict[str, Callable[[Array], Array]] = {"energy": np.sqrt, "mnist": np.positive}
TITLES = {"energy": "Energy efficiency, linear regression", "mnist": "MNIST, one dense layer"}
LABELS = {"energy": "root of the mean squared error (log scale)", "mnist": "loss"}
BANDS = {"energy": "of the runs' roots", "mnist": "of the runs"}
PANELS = {"train_loss": "training", "val_loss": "validation"}


def figure(name: str, results_dir: Path, recorded: Path | None, device: str = "cpu") -> Figure:
    """Square root of the run-averaged MSE (energy) or run-averaged loss (mnist) against the epoch."""
    dataset, k = FIGURES[name]
    results = read_all(results_dir / dataset, k, "paper", device)
    batch = next(iter(results.values())).batch_size
    drawing, axes = two_panels(
        f"{TITLES[dataset]}: {k} of {batch} outer products per step",
        f"mean of {run_count(results, 'val_loss')}, band: 10th to 90th percentile {BANDS[dataset]}",
    )
    for panel, (quantity, title) in zip(axes, PANELS.items(), strict=True):
        if dataset == "energy":
            _logarithmic(panel)
        transform = TRANSFORMS[dataset]
        curves = {
            method: averaged(result.runs_of(quantity), transform)
            for method, result in results.items()
        }
        lines = draw_panel(panel, results, curves)
        panel.set_title(f"{title}: {LABELS[dataset]}")
        published = read_recorded(recorded, dataset, k, quantity) if recorded else {}
        dots = [
            _draw_published(panel, method, averaged(runs, transform))
            for method, runs in published.items()
        ]
    draw_legend(drawing, lines, dots[0] if dots else None)
    return drawing


def _logarithmic(axes: Axes) -> None:
    # The paper's axis is linear, but the errors fall from 25 to 3 and differ by a few per cent at the end.
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_published(axes: Axes, method: Method, curve: Curve) -> Line2D:
    epochs = np.arange(1, curve.mean.size + 1)
    darker = tuple(0.6 * part for part in to_rgb(COLOURS[method.policy]))
    every = max(1, epochs.size // 15)
    (line,) = axes.plot(epochs, curve.mean, "o", color=darker, markersize=4.2, markevery=every)
    line.set_markeredgecolor("white")
    line.set_label("published mean")
    return line
