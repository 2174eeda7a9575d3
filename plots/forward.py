"""Forward gradients: test loss against the epoch, and against what the products cost.

cost of an epoch = flops of all products of a training so far / flops of back-propagation in one epoch

Drawn are all configurations that were trained with the settings of one reference, of each the longest training that is
no longer than that one. A line that ends early was trained for fewer epochs, or it diverged.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from plots.results import Array, PlotError, Result, read
from plots.style import BLUE, DASHED, DOTTED, GREEN, ORANGE, PINK, RED, SKY, averaged, two_panels

TITLES = {
    "forward": "MNIST, 784-{width}-{width}-10",
    "forward-narrow": "MNIST, 784-{width}-{width}-10: every strategy",
    "forward-vgg": "CIFAR-10 (16000 images), a small VGG-type network of width {width}",
    "forward-vgg16": "CIFAR-10, VGG16 of width {width}",
}
LINES: dict[str, tuple[str, Any, str]] = {
    "backprop": ("black", "solid", "o"),
    "gaussian": (BLUE, "solid", "s"),
    "rademacher": (RED, "solid", "^"),
    "sphere": (BLUE, DASHED, "D"),
    "frame": (BLUE, DOTTED, "v"),
    "projection": (SKY, DOTTED, "v"),
    "sign": (PINK, "solid", "P"),
    "shared": (PINK, DASHED, "X"),
    "row_space": (GREEN, "solid", "<"),
    "activity": (GREEN, DASHED, ">"),
    "anchor": (ORANGE, "solid", "*"),
    "aligned": (ORANGE, DASHED, "h"),
    "orthogonal": (SKY, "solid", "d"),
}
"""Strategy -> colour, dash, marker."""
AGAIN = (DASHED, DOTTED, (0, (6, 1.5, 1, 1.5)))
"""Dashes of the second scheme of a strategy and of the following, whose markers are white."""
SCHEME = ("strategy", "num_dir", "clip", "update", "lr", "decay")
"""What tells the lines of a figure apart; all else but the epochs they have in common."""
WORDS = {"row_space": "row space", "backprop": "back-propagation"}


def figure(name: str, results_dir: Path, suffix: str = "") -> Figure:
    """Run-averaged test loss against epochs and against compute."""
    reference = read(results_dir / name / f"rademacher{suffix}.json", _command(name))
    results = trained_alike(reference, _command(name))
    exact = next((result for result in results if result.config["strategy"] == "backprop"), None)
    if exact is None:
        raise PlotError(
            f"expected a result of backprop with the settings of {reference.path}, got none: {_command(name)} makes it"
        )
    one_epoch = exact.runs_of("flops")[:, 0].mean()
    runs = len(reference.runs_of("val_loss"))
    drawing, (by_epoch, by_cost) = two_panels(
        f"{TITLES[name].format(**reference.config)}",
        f"forward gradients: m = 1 direction, clip 1, step size {reference.config['lr']:g} unless told otherwise.   "
        + (f"Mean of {runs} runs." if runs > 1 else "One run."),
    )
    rows = -(-len(results) // 3)
    drawing.set_figheight(4.4 + 0.23 * rows)
    drawing.subplots_adjust(
        left=0.065, top=0.8, bottom=(0.62 + 0.23 * rows) / drawing.get_figheight()
    )
    costs = [result.runs_of("flops").mean(0).cumsum() / one_epoch for result in results]
    epochs = [np.arange(1.0, result.runs_of("val_loss").shape[1] + 1) for result in results]
    lines = _panel(by_epoch, results, epochs, reference.config)
    _panel(by_cost, results, costs, reference.config)
    by_epoch.set(xlabel="epoch", title="loss on the test images (log scale)")
    by_epoch.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    by_cost.set(
        xlabel="flops of all products, in epochs of back-propagation",
        title="the same against compute",
    )
    drawing.legend(
        lines, [str(line.get_label()) for line in lines], ncols=3, loc="lower center", fontsize=9.5
    )
    return drawing


def trained_alike(reference: Result, command: str) -> list[Result]:
    """Return one result for each scheme that was trained with the settings of `reference`."""
    found: dict[str, Result] = {}
    for path in sorted(reference.path.parent.glob("*.json")):
        result = read(path, command)
        if missing := [key for key in (*SCHEME, "epochs") if key not in result.config]:
            raise PlotError(
                f"expected {missing[0]} in the configuration of {path}, got none: {command} makes it"
            )
        if result.config["strategy"] not in LINES:
            got = result.config["strategy"]
            raise PlotError(f"expected a strategy among {', '.join(LINES)}, got {got!r} in {path}")
        before = found.get(_scheme(result.config))
        if (
            _settings(result.config) == _settings(reference.config)
            and result.config["epochs"] <= reference.config["epochs"]
            and (before is None or result.config["epochs"] > before.config["epochs"])
        ):
            found[_scheme(result.config)] = result
    known = list(LINES)
    return sorted(
        found.values(), key=lambda each: (known.index(each.config["strategy"]), len(each.path.stem))
    )


def _command(name: str) -> str:
    network = name.removeprefix("forward-").replace("forward", "mlp")
    return f"python -m experiments forward --network {network}"


def _scheme(config: dict[str, Any]) -> str:
    return "/".join(str(config[name]) for name in SCHEME)


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in (*SCHEME, "epochs")}


def _label(result: Result, usual: dict[str, Any]) -> str:
    """Return a configuration in few words, and its accuracy at the end."""
    config = result.config
    words = [WORDS.get(config["strategy"], config["strategy"])]
    if config["strategy"] != "backprop":
        words += [f"m = {config['num_dir']}"] * (config["num_dir"] != 1)
        words += ["no clip"] * (config["clip"] is None) or [f"clip {config['clip']:g}"] * (
            config["clip"] != 1
        )
    words += [config["update"]] * (config["update"] != "sgd")
    words += [f"step {config['lr']:g}"] * (config["lr"] != usual["lr"])
    words += [f"decay {config['decay']:g}"] * (config["decay"] != usual["decay"])
    accuracy = result.runs_of("val_accuracy").mean(0)
    if result.diverged:
        return f"{', '.join(words)}: diverged in epoch {result.lost}"
    return f"{', '.join(words)}: {100 * accuracy[-1]:.1f} %"


def _panel(
    axes: Axes, results: list[Result], places: list[Array], usual: dict[str, Any]
) -> list[Line2D]:
    lines, highest, drawn = [], 0.0, Counter[str]()
    for result, x in zip(results, places, strict=True):
        strategy = result.config["strategy"]
        colour, dash, marker = LINES[strategy]
        again = drawn[strategy]
        drawn[strategy] += 1
        if again:
            dash = AGAIN[(again - 1) % len(AGAIN)]
        curve = averaged(result.runs_of("val_loss"))
        (line,) = axes.plot(
            x, curve.mean, color=colour, linestyle=dash, marker=marker, label=_label(result, usual)
        )
        line.set(
            linewidth=1.8,
            markersize=5,
            markevery=max(1, len(x) // 10),
            markerfacecolor="white" if again else colour,
        )
        lines.append(line)
        if not result.diverged:
            highest = max(highest, float(np.nanmax(curve.mean)))
            axes.fill_between(x, curve.low, curve.high, color=colour, alpha=0.1, linewidth=0)
    axes.set_yscale("log")
    if highest:
        axes.set_ylim(
            axes.get_ylim()[0], min(axes.get_ylim()[1], 3 * highest)
        )  # a blow-up would flatten everything
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return lines
