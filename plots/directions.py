"""How good forward gradients are: error and cosine of every strategy beside closed forms, over training and layers.

error     |estimate - g|^2 / |g|^2, mean over estimates       black bars: closed forms
cosine    between estimate and g, root mean square            sqrt(m/n) for m random directions in n dimensions

Of one layer with n_l entries and the share p_l of |g|^2, independent directions have the error (n_l / p_l - 1) / m.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from plots.forward import LINES, WORDS
from plots.results import Array, PlotError, read_json
from plots.style import GREY

COMMAND = "python -m experiments directions"
QUANTITIES = ("error", "expected_error", "cosine", "layer_error", "layer_cosine")


def figure(results_dir: Path) -> Figure:
    """Four panels: error and cosine, of the whole gradient over training, and of each layer at the last point."""
    content, strategies = _read(results_dir / "directions" / "strategies.json")
    config, n = content["config"], sum(content["sizes"])
    drawing = Figure(figsize=(11, 8.2))
    drawing.subplots_adjust(left=0.075, right=0.99, top=0.86, bottom=0.17, wspace=0.15, hspace=0.36)
    drawing.text(
        0.02,
        0.955,
        "Forward gradients: measured (markers) beside closed forms (bars)",
        fontsize=14,
        fontweight="bold",
    )
    drawing.text(
        0.02, 0.92, color=GREY, s=f"MNIST, 784-{config['width']}-{config['width']}-10 (n = {n}), trained by "
        f"back-propagation; estimates from m = {config['num_dir']} directions, mean of {config['draws']}",
    )  # fmt: skip
    (errors, cosines), (layer_errors, layer_cosines) = drawing.subplots(2, 2)
    for dodge, (name, measured) in zip(
        np.linspace(-0.36, 0.36, len(strategies)), strategies.items(), strict=True
    ):
        for axes, key in ((errors, "error"), (cosines, "cosine")):
            _markers(axes, name, measured[key], dodge)
        for axes, key in ((layer_errors, "layer_error"), (layer_cosines, "layer_cosine")):
            _markers(axes, name, measured[key][-1], dodge)
        _bars(errors, measured["expected_error"], dodge, 0.036)
    shares, of_random = (
        np.array(content["gradient_shares"][-1]),
        np.full(len(content["steps"]), config["num_dir"] / n),
    )
    _bars(layer_errors, (np.array(content["sizes"]) / shares - 1) / config["num_dir"], 0, 0.42)
    _bars(cosines, of_random**0.5, 0, 0.42)
    errors.set_title("error of the gradient, over training")
    cosines.set_title("cosine, over training (bars: random directions)")
    layer_errors.set_title("error within a layer, last point (bars: independent entries)")
    layer_cosines.set_title("cosine within a layer, last point")
    for axes in (errors, cosines):
        _ticks(axes, [f"{step + 1:.0f}" for step in content["steps"]], "training step")
    for axes in (layer_errors, layer_cosines):
        _ticks(axes, content["layers"], "layer, from the input up")
    handles = [
        Line2D(
            [],
            [],
            color=LINES[name][0],
            marker=LINES[name][2],
            linestyle="none",
            label=WORDS.get(name, name),
        )
        for name in strategies
    ]
    drawing.legend(handles=handles, ncols=6, loc="lower center", fontsize=10)
    return drawing


def _markers(axes: Axes, name: str, values: Array, dodge: float) -> None:
    colour, _, marker = LINES[name]
    axes.plot(
        np.arange(len(values)) + dodge,
        values,
        color=colour,
        marker=marker,
        markersize=6,
        linestyle="none",
    )


def _bars(axes: Axes, values: Array, dodge: float, width: float) -> None:
    places = np.arange(len(values)) + dodge
    axes.hlines(values, places - width, places + width, color="black", linewidth=1.4, zorder=3)


def _ticks(axes: Axes, labels: list[str], axis: str) -> None:
    axes.set(yscale="log", xlabel=axis, xlim=(-0.5, len(labels) - 0.5))
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(axis="x", visible=False)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    """Return content, and strategy -> quantity -> array [points] or [points, layers]; NaN where no form is known."""
    content = read_json(path, COMMAND)
    try:
        points, layers = len(content["steps"]), len(content["layers"])
        strategies = {
            name: {key: np.array(measured[key], dtype=float) for key in QUANTITIES}
            for name, measured in content["strategies"].items()
        }
        shapes = {"layer_error": (points, layers), "layer_cosine": (points, layers)}
        for name, measured in strategies.items():
            wrong = [key for key in QUANTITIES if measured[key].shape != shapes.get(key, (points,))]
            if wrong or name not in LINES:
                raise ValueError(f"{', '.join(wrong) or 'a strategy unknown'} of {name}")
        _ = [content["config"][key] for key in ("width", "num_dir", "draws")], content["sizes"]
        if (
            np.shape(content["gradient_shares"]) != (points, layers)
            or len(content["sizes"]) != layers
        ):
            raise ValueError("no size and share of the gradient for every layer")
        return content, strategies
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PlotError(
            f"expected a measurement in {path}, got {error!r}: {COMMAND} makes it"
        ) from error
