"""Ways to send the error back: test error of every rule against the epoch, and where the feedback points.

The alignment angle of a hidden layer is that between the injected and the true gradient of its activations, measured
every so many steps and averaged over an epoch: 0 degrees for back-propagation, 90 for no better than a random
direction.
"""

import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from plots.results import Array, Result, read
from plots.style import BLUE, DASHED, DIVERGED, DOTTED, GREEN, GREY, PINK, RED, averaged

TITLES = {
    "feedback-mnist": "MNIST, four hidden layers",
    "feedback-mnist-full": "MNIST, four hidden layers",
    "feedback-cifar": "CIFAR-10 (10000 images), two convolutions and a dense layer",
    "feedback-cifar-full": "CIFAR-10, two convolutions and a dense layer",
    "feedback-alexnet": "CIFAR-10 (10000 images), AlexNet",
    "feedback-alexnet-full": "CIFAR-10, AlexNet",
}
SETTING = re.compile(r"-(batch-size|epochs|runs|lr|seed|dtype|device)")
LINES = {
    "bp": ("black", "solid", "o"),
    "fa": (BLUE, "solid", "s"),
    "sign": (RED, "solid", "^"),
    "kp": (GREEN, "solid", "D"),
    "wm": (PINK, "solid", "v"),
    "dfa": (BLUE, DASHED, "s"),
    "dkp": (RED, DASHED, "^"),
    "fdfa": (GREEN, DASHED, "D"),
    "drtp": (PINK, DASHED, "v"),
    "dfa-tiny": (BLUE, DOTTED, "X"),
    "shallow": (GREY, DOTTED, "P"),
}
"""Rule -> colour, dash, marker: solid with another matrix in the place of W^T, dashed with direct feedback."""
OTHER = (GREY, DASHED, "*")
ANGLE = "alignment_angle/"


def figure(name: str, results_dir: Path, suffix: str = "") -> Figure:
    """Test error of each rule that was trained with the settings of back-propagation, and its angles by layer."""
    alike = trained_alike(name, results_dir, suffix)
    results = {
        scheme: result for scheme, result in alike.items() if result.config["policy"] == "exact"
    }
    runs, epochs = results["bp"].runs_of("val_accuracy").shape
    hooks = sorted(
        {
            int(key.removeprefix(ANGLE))
            for r in results.values()
            for key in r.history
            if ANGLE in key
        }
    )
    columns = max(1, -(-len(hooks) // 2))
    drawing = Figure(figsize=(5.6 + 2.7 * columns, 6.4))
    grid = drawing.add_gridspec(2, 1 + columns, width_ratios=[1.9, *[1] * columns])
    drawing.subplots_adjust(left=0.06, right=0.985, top=0.81, bottom=0.22, wspace=0.22, hspace=0.38)
    _heading(
        drawing,
        f"{TITLES[name]}: ways to send the error back",
        "solid: from layer to layer, dashed: straight from the outputs, dotted: tiny B, or no hidden layer trained\n"
        f"{of_runs(runs)}   Below: test accuracy at the end",
    )
    lines = _errors(drawing.add_subplot(grid[:, 0]), results, np.arange(1, epochs + 1))
    for position, hook in enumerate(hooks):
        axes = drawing.add_subplot(grid[position // columns, 1 + position % columns])
        axes.set_title(f"angle, hidden layer {position + 1}")
        axes.set_xlabel("epoch" if position + columns >= len(hooks) else "")
        _angles(axes, results, f"{ANGLE}{hook}", np.arange(1, epochs + 1))
    drawing.legend(handles=lines, ncols=4, loc="lower center", fontsize=10)
    return drawing


def trained_alike(name: str, results_dir: Path, suffix: str) -> dict[str, Result]:
    """Return scheme -> result of all files `<scheme><suffix>.json` of an experiment, back-propagation first."""
    full = " --full" if name.endswith("-full") else ""
    command = f"python -m experiments feedback --data {name.removeprefix('feedback-').removesuffix('-full')}{full}"
    found = {"bp": read(results_dir / name / f"bp{suffix}.json", command)}
    for path in sorted((results_dir / name).glob(f"*{suffix}.json")):
        scheme = path.stem.removesuffix(suffix)
        if not SETTING.search(scheme):
            found.setdefault(scheme, read(path, command))
    known = [*LINES, *found]
    return dict(sorted(found.items(), key=lambda item: known.index(item[0])))


def _heading(drawing: Figure, title: str, subtitle: str) -> None:
    """Write a title and, below it, what to know of the lines."""
    drawing.text(0.02, 0.945, title, fontsize=14, fontweight="bold")
    drawing.text(0.02, 0.925, subtitle, color=GREY, va="top")


def of_runs(runs: int) -> str:
    """Return what lines and bands show."""
    return f"Mean of {runs} runs, band: 10th to 90th percentile." if runs > 1 else "One run."


def at_the_end(scheme: str, result: Result) -> str:
    """Return the label of a line with the final accuracy."""
    accuracy = 100 * result.runs_of("val_accuracy")[:, -1].mean()
    return f"{scheme}{DIVERGED * result.diverged}: {accuracy:.1f} %"


def _errors(axes: Axes, results: dict[str, Result], epochs: Array) -> list[Line2D]:
    lines = []
    for scheme, result in results.items():
        errors = averaged(100 * (1 - result.runs_of("val_accuracy")))
        (line,) = _draw(axes, scheme, epochs, errors.mean)
        line.set_label(at_the_end(scheme, result))
        lines.append(line)
        if not result.diverged:
            axes.fill_between(
                epochs, errors.low, errors.high, color=line.get_color(), alpha=0.12, linewidth=0
            )
    axes.set(xlabel="epoch", title="error on the test images in % (log scale)", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return lines


def _angles(axes: Axes, results: dict[str, Result], quantity: str, epochs: Array) -> None:
    axes.axhline(90, color="black", linewidth=1)
    for scheme, result in results.items():
        if scheme != "bp" and quantity in result.history:
            _draw(axes, scheme, epochs, result.history[quantity].mean(0))
    axes.set(ylim=(0, max(95.0, axes.get_ylim()[1])), yticks=[0, 30, 60, 90])
    axes.yaxis.set_major_formatter("{x:.0f}°")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


def _draw(axes: Axes, scheme: str, epochs: Array, values: Array) -> list[Line2D]:
    colour, dash, marker = LINES.get(scheme, OTHER)
    every = max(1, len(epochs) // 10)
    return axes.plot(
        epochs, values, color=colour, linestyle=dash, marker=marker, markersize=4.5, markevery=every,
        linewidth=2.6 if scheme == "bp" else 1.7,
    )  # fmt: skip
