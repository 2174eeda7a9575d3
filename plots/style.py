"""How every figure looks: colours, lines, bands, legend; and saving without dates, so that bytes repeat."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plots.results import Array, Method, PlotError, Result

# Okabe and Ito's palette: told apart with every common form of colour blindness. Memory is told by the dash.
BLUE, RED, GREEN, PINK, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
COLOURS = {"exact": "#000000", "topk": BLUE, "weightedk": RED, "randk": GREEN}
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1.4))
DASHES: dict[str | None, Any] = {None: "solid", "row": "solid", "none": (0, (3, 1.6))}
GREY = "#595959"
DIVERGED = " (diverged)"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "aopnp",
    "font.size": 11,
    "axes.titlesize": 11,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.6,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}


def house_style() -> AbstractContextManager[None]:
    """Matplotlib's defaults and STYLE for a while: the caller's own settings neither show nor change."""
    return matplotlib.style.context(["default", STYLE])


@dataclass(frozen=True)
class Curve:
    """One line with its band, each [epochs]."""

    mean: Array
    low: Array
    high: Array


def averaged(runs: Array, transform: Callable[[Array], Array] = np.positive) -> Curve:
    """transform(mean over the runs), 10th and 90th percentile of transform(runs); runs [R, epochs]."""
    with np.errstate(over="ignore"):
        mean = transform(runs.mean(axis=0))
    low, high = np.percentile(transform(runs), [10, 90], axis=0)
    return Curve(mean, low, high)


def two_panels(title: str, subtitle: str) -> tuple[Figure, list[Axes]]:
    """A figure of 10 x 5 inches with two axes, a heading, and room for the legend below."""
    figure = Figure(figsize=(10, 5))
    axes = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.05, right=0.985, top=0.79, bottom=0.25, wspace=0.17)
    figure.text(0.02, 0.94, title, fontsize=14, fontweight="bold")
    figure.text(0.02, 0.885, subtitle, color=GREY)
    return figure, list(axes)


def draw_panel(
    axes: Axes, results: dict[Method, Result], curves: dict[Method, Curve]
) -> list[Line2D]:
    """Draw every method against the epoch; returns the lines in the order of the methods.

    Diverged results come last, on the axes of the others, since a blow-up would flatten everything.
    """
    finished = [method for method in curves if not results[method].diverged]
    diverged = [method for method in curves if results[method].diverged]
    lines = {method: _draw_curve(axes, method, curves[method]) for method in finished}
    for method in finished:
        _draw_band(axes, method, curves[method])
    if finished and diverged:
        axes.set_ylim(axes.get_ylim())
    for method in diverged:
        lines[method] = _draw_curve(axes, method, curves[method], DIVERGED)
    axes.set_xlabel("epoch")
    return [lines[method] for method in curves]


def _draw_curve(axes: Axes, method: Method, curve: Curve, remark: str = "") -> Line2D:
    names = {
        None: "exact gradient",
        "row": f"{method.policy} + memory",
        "none": f"{method.policy}, no memory",
    }
    epochs = np.arange(1, curve.mean.size + 1)
    colour, dash = COLOURS[method.policy], DASHES[method.memory]
    (line,) = axes.plot(
        epochs, curve.mean, color=colour, linestyle=dash, label=names[method.memory] + remark
    )
    line.set_linewidth(2.8 if method.memory is None else 1.8)
    return line


def _draw_band(axes: Axes, method: Method, curve: Curve) -> None:
    # Diverged results get no band: percentiles of a blow-up say nothing.
    epochs = np.arange(1, curve.mean.size + 1)
    axes.fill_between(
        epochs, curve.low, curve.high, color=COLOURS[method.policy], alpha=0.12, linewidth=0
    )


def draw_legend(figure: Figure, lines: list[Line2D], below_exact: Line2D | None) -> None:
    """Four columns below the panels: the exact gradient (and one more line), then one for each policy."""
    blank = Line2D([], [], linestyle="none", label=" ")
    handles = [lines[0], below_exact or blank, *lines[1:]]
    # Seven remarks in the usual size would be wider than the figure.
    small = any(str(line.get_label()).endswith(DIVERGED) for line in lines)
    figure.legend(handles=handles, ncols=4, loc="lower center", fontsize=8.5 if small else 10.5)


def run_count(results: dict[Method, Result], quantity: str) -> str:
    """How many runs are averaged: "10 runs", or a range where the methods differ."""
    counts = sorted({len(result.runs_of(quantity)) for result in results.values()})
    return f"{counts[0]} runs" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"


def save(figure: Figure, name: str, out: Path) -> list[Path]:
    """Write out/name.png and out/name.svg, no date or version inside; PlotError where that fails."""
    paths = []
    for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        content = BytesIO()
        figure.savefig(content, format=ending, dpi=200, metadata=metadata)
        path = out / f"{name}.{ending}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.getvalue())
        except OSError as error:
            raise PlotError(
                f"expected to write {path}, got {error}: choose another --out"
            ) from error
        paths.append(path)
    return paths
