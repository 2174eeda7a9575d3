"""How far approximate products are off: every policy against K, on matrices with and without a common sign."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from plots.results import PlotError, read_json
from plots.style import GREY, two_panels

COMMAND = "python -m experiments products"
PANELS = {
    "mean1": "entries N(1, 1): products share a sign",
    "mean0": "entries N(0, 1): signs cancel",
}
SOLID, DASHED, DOTTED, MIXED = "solid", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5))
GROUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "kept as they are": (
        "#0072B2",
        {
            "topk": SOLID,
            "weightedk": DASHED,
            "weighted": MIXED,
            "randk": DOTTED,
            "firstk": (0, (1, 4)),
        },
    ),
    "kept by chance, rescaled": (
        "#D55E00",
        {"bernoulli": SOLID, "bernoulli_clipped": DASHED, "bernoulli_reference": DOTTED},
    ),
    "drawn once, rescaled": ("#E69F00", {"uniform": SOLID}),
    "drawn anew, rescaled": ("#009E73", {"wta": SOLID, "crs": DASHED, "crs_uniform": DOTTED}),
    "to compare": ("#CC79A7", {"low_rank": SOLID}),
}
"""Methods whose curves lie close together share a colour: group -> (colour, method -> dash)."""

TICKS = {"x": (1, 2, 5, 10, 20, 50, 100), "y": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)}


def figure(results_dir: Path) -> Figure:
    """Mean normalised error of each family against K, both logarithmic; an error of zero is left out."""
    contents = {family: _read(results_dir / "products" / f"{family}.json") for family in PANELS}
    config = next(iter(contents.values()))["config"]
    drawing, axes = two_panels(
        f"Products of two matrices of {config['size']} x {config['size']}, approximated by K outer products",
        f"mean of |estimate - AB| / (|A| |B|) over {config['repeats']} pairs; methods of one colour nearly coincide",
    )
    drawing.set_size_inches(10, 6.6)
    drawing.subplots_adjust(left=0.06, top=0.83, bottom=0.315, wspace=0.14)
    for panel, (family, title) in zip(axes, PANELS.items(), strict=True):
        handles = _draw(panel, contents[family])
        panel.set_title(title)
    drawing.legend(
        handles=handles, ncols=len(GROUPS), loc="lower center", fontsize=9.5, handlelength=3
    )
    return drawing


def _draw(axes: Axes, content: dict[str, Any]) -> list[Line2D]:
    """Draw one family; returns the legend: a column for each group, its name on top."""
    columns: list[list[Line2D]] = []
    for name, (colour, dashes) in GROUPS.items():
        column = [Line2D([], [], linestyle="none", label=name)]
        for method, dash in dashes.items():
            one = content["errors"][method]
            mean = np.where(np.array(one["mean"]) > 1e-12, one["mean"], np.nan)
            column += axes.plot(
                one["k"], mean, color=colour, linestyle=dash, linewidth=1.8, label=method
            )
        columns.append(column)
    k = np.array(one["k"], dtype=float)
    columns[-1] += axes.plot(
        k, k**-0.5, color="black", linewidth=1.2, linestyle=DASHED, label="1 / sqrt(K)"
    )
    _scales(axes)
    longest = max(map(len, columns))
    blank = Line2D([], [], linestyle="none", label=" ")
    return [line for column in columns for line in column + [blank] * (longest - len(column))]


def _scales(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.01, 1.2)
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        axis.set_ticks(TICKS[name])
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("outer products kept, K", color=GREY)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of one result file; PlotError where it is missing or damaged."""
    content = read_json(path, COMMAND)
    try:
        _ = content["config"]["size"], content["config"]["repeats"]
        for method in (method for _, dashes in GROUPS.values() for method in dashes):
            k, mean = (
                np.array(content["errors"][method][key], dtype=float) for key in ("k", "mean")
            )
            if k.shape != mean.shape or not k.size or not np.isfinite(mean).all():
                raise ValueError(f"no error of {method} for every K")
        return content
    except (KeyError, TypeError, ValueError) as error:
        raise PlotError(
            f"expected the errors of all methods in {path}, got {error!r}: {COMMAND} makes it"
        ) from error
