"""Deep networks with approximate products: test loss against the epoch, and against what the products cost.

cost of an epoch = flops of all products of a training so far / flops of the same products, exact, in one epoch

Drawn are all configurations that were trained with the settings of one exact result: its runs, epochs, step size, ...
"""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from plots.results import Array, Result, read
from plots.style import COLOURS, DASHES, DIVERGED, DOTTED, GREY, averaged, two_panels

TITLES = {
    "mlp": "MNIST, three dense layers",
    "cnn": "MNIST, two convolutions and two dense layers",
    "cifar": "CIFAR-10 (16000 images), residual network of 10 layers",
    "cifar-full": "CIFAR-10, wide residual network WRN-28-10",
}
SCHEME = ("policy", "memory", "ratio", "minimal_k", "where", "watch")
"""What tells the lines of a figure apart; all else in a configuration they have in common."""
MORE_COLOURS = {"bernoulli": "#CC79A7", "wta": "#E69F00", "crs": "#56B4E9"}
MARKERS = "os^Dv<>PX*"
FEW = 8
"""More lines than that have no bands: nobody could tell them apart."""


def figure(name: str, results_dir: Path, suffix: str = "") -> Figure:
    """Run-averaged test loss against epochs and against compute, for each configuration that was trained alike."""
    results = _alike(
        results_dir / name, suffix, f"python -m experiments {name.replace('-', ' --')}"
    )
    exact, usual, band = results[0], _usual_share(results), ", band: 10th to 90th percentile"
    runs, epochs = exact.runs_of("val_loss").shape
    drawing, (by_epoch, by_cost) = two_panels(
        f"{TITLES.get(name) or TITLES[name.removesuffix('-full')]}: {usual}",
        f"solid: with memory, dashed: without.   Mean of {runs} run{'s' * (runs > 1)}{band * (len(results) <= FEW)}.   "
        "Below: test accuracy at the end",
    )
    rows = -(-len(results) // 4)
    drawing.set_figheight(4.6 + 0.22 * rows)
    drawing.subplots_adjust(
        left=0.065, top=0.78, bottom=(0.62 + 0.22 * rows) / drawing.get_figheight()
    )
    one_epoch = exact.runs_of("exact_flops")[:, 0].mean()
    costs = [result.runs_of("flops").mean(0).cumsum() / one_epoch for result in results]
    lines = _panel(by_epoch, results, [np.arange(1.0, epochs + 1)] * len(results), usual)
    _panel(by_cost, results, costs, usual)
    by_epoch.set(xlabel="epoch", title="loss on the test images (log scale)")
    by_epoch.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    by_cost.set(xlabel="flops of all products, in exact epochs", title="the same against compute")
    labels = [
        f"{line.get_label()}: {_accuracy(result)}"
        for line, result in zip(lines, results, strict=True)
    ]
    drawing.legend(lines, labels, ncols=4, loc="lower center", fontsize=9.5)
    return drawing


def _alike(folder: Path, suffix: str, command: str) -> list[Result]:
    """Return the exact result, then all others with its settings, one for each scheme, by name."""
    exact = read(folder / f"exact{suffix}.json", command)
    found = {}
    for path in sorted(folder.glob("*.json")):
        result = read(path, command)
        if result.path != exact.path and _settings(result.config) == _settings(exact.config):
            found[_label(result.config, "")] = result
    return [exact, *found.values()]


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in SCHEME}


def _share(config: dict[str, Any]) -> str:
    gradients = {
        "weight": "the weight gradient",
        "input": "the input gradient",
        "forward": "the forward product",
    }
    return f"{100 * config['ratio']:g} % of " + " and ".join(
        gradients[name] for name in config["where"].split(",")
    )


def _usual_share(results: list[Result]) -> str:
    """Return what most of the lines keep, which then goes without saying in their labels."""
    shares = Counter(_share(result.config) for result in results[1:])
    return shares.most_common(1)[0][0] if shares else "exact gradient"


def _label(config: dict[str, Any], usual: str) -> str:
    """Return a configuration in few words; whether it was watched makes no difference."""
    if config["policy"] == "exact":
        return "exact gradient"
    memory = {"none": "", "row": " + memory"}.get(config["memory"], f" + {config['memory']} memory")
    share = _share(config)
    return f"{config['policy']}{memory}{'' if share == usual else f', {share}'}"


def _accuracy(result: Result) -> str:
    return f"{100 * result.runs_of('val_accuracy')[:, -1].mean():.1f} %"


def _panel(axes: Axes, results: list[Result], places: list[Array], usual: str) -> list[Line2D]:
    """Draw a line for each result and, of a few that did not diverge, the band of its runs."""
    lines = []
    for result, x, marker in zip(results, places, itertools.cycle(MARKERS)):
        config, curve = result.config, averaged(result.runs_of("val_loss"))
        exact = config["policy"] == "exact"
        colour = (COLOURS | MORE_COLOURS).get(config["policy"], GREY)
        dash = (
            DOTTED
            if config["where"] in ("input", "forward", "input,forward")
            else DASHES.get(config["memory"])
        )
        (line,) = axes.plot(
            x, curve.mean, color=colour, linestyle="solid" if exact else dash, marker=marker
        )
        label = _label(config, usual) + DIVERGED * result.diverged
        line.set(linewidth=2.6 if exact else 1.7, markersize=4.5, label=label)
        lines.append(line)
        if len(results) <= FEW and not result.diverged:
            axes.fill_between(x, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    wide = LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))
    axes.yaxis.set_major_locator(wide if high > 3 * low else MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return lines
