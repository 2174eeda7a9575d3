"""How the cost of a step grows: measured ratios from bench/growth.json against the ideal and the break-even."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from plots.results import Array, PlotError, read_json
from plots.style import COLOURS, GREY

COMMAND = "python -m experiments bench growth"
LINES = ((COLOURS["topk"], "o"), (COLOURS["weightedk"], "s"))


@dataclass(frozen=True)
class Picture:
    """What one figure shows: its series, words, lines (key -> label), and the ideal K/M (None: it is the axis)."""

    series: str
    title: str
    axis: str
    quantity: str
    lines: dict[str, str]
    ideal: float | None


EXACT = "time of a step (memory, selection, gather, product, update) / exact step"
OVER_EXACT = {"ratio": "topk with memory"}
SIZE_K, SIZE_LAYER = "(M, N, P) = (256, 1024, 1024)", "(M, N, P) = (64, 784, 10), K = 8"
PICTURES = {
    "growth-k": Picture(
        "k", f"Cost against K/M: {SIZE_K}", "outer products kept, K/M", EXACT, OVER_EXACT, None
    ),
    "growth-width": Picture(
        "width",
        "Cost against width: M = 256, K/M = 1/8",
        "inputs and outputs, N = P",
        EXACT,
        OVER_EXACT,
        1 / 8,
    ),
    "growth-batch": Picture(
        "batch",
        "Cost against batch: N = P = 1024, K/M = 1/8",
        "rows of the batch, M",
        EXACT,
        OVER_EXACT,
        1 / 8,
    ),
    "growth-replicas": Picture(
        "replicas",
        f"Stacked against one by one: {SIZE_LAYER}",
        "replicas in the stack, R",
        "time stacked / time one by one",
        {"one minibatch": "all replicas share a minibatch", "own minibatches": "each has its own"},
        None,
    ),
}


def figure(name: str, results_dir: Path) -> Figure:
    """Median time ratio of one series against its axis, both logarithmic."""
    picture = PICTURES[name]
    about, series = _read(results_dir / "bench" / "growth.json", picture)
    drawing = Figure(figsize=(7.5, 5))
    axes = drawing.subplots()
    drawing.subplots_adjust(left=0.09, right=0.97, top=0.79, bottom=0.22)
    drawing.text(0.02, 0.94, picture.title, fontsize=14, fontweight="bold")
    measured = f"medians of {about['repeats']}, float32, one thread; {about['machine']}"
    drawing.text(0.02, 0.89, measured, color=GREY, fontsize=9)
    _scales(axes, series["x"])
    for (key, label), (colour, marker) in zip(picture.lines.items(), LINES, strict=False):
        axes.plot(
            series["x"],
            series[key],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.8,
            label=label,
        )
    axes.axhline(1.0, color="black", linewidth=1.2, linestyle=(0, (4, 2)), label="break-even")
    if picture.series != "replicas":
        ideal = series["x"] if picture.ideal is None else np.full_like(series["x"], picture.ideal)
        axes.plot(
            series["x"],
            ideal,
            color=GREY,
            linewidth=1.2,
            linestyle=(0, (1, 1.5)),
            label="ideal, K/M",
        )
    axes.set_xlabel(picture.axis)
    axes.set_title(picture.quantity)
    drawing.legend(ncols=3, loc="lower center", fontsize=10.5)
    return drawing


def _scales(axes: Axes, x: Array) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(x.tolist())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: _in_words(value)))
        axis.set_minor_locator(NullLocator())


def _in_words(value: float) -> str:
    """Powers of two below 1 as fractions, the rest as short numbers."""
    inverse = 1 / value
    return (
        f"1/{inverse:.0f}" if inverse > 1 and abs(inverse - round(inverse)) < 1e-9 else f"{value:g}"
    )


def _read(path: Path, picture: Picture) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what the record says about itself, and one series; PlotError where it is missing or damaged."""
    content = read_json(path, COMMAND)
    try:
        found = content["series"][picture.series]
        series = {key: np.array(found[key], dtype=np.float64) for key in ("x", *picture.lines)}
        if any(
            values.shape != series["x"].shape or not (values > 0).all()
            for values in series.values()
        ):
            raise ValueError("values that are not positive, or not as many as on the axis")
        return {key: content[key] for key in ("machine", "repeats")}, series
    except (KeyError, TypeError, ValueError) as error:
        raise PlotError(
            f"expected the series {picture.series!r} in {path}, got {error!r}: {COMMAND} makes it"
        ) from error
