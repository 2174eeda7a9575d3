"""Binary networks: test error of every way to hold soft weights against the epoch, and against the bits it keeps.

bits per weight = (soft weights + what the optimiser remembers of them) / number of weights

Drawn are all that back-propagation trained with the usual step sizes and the settings of one reference, float soft
weights with SGD or Adam.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from plots.results import PlotError, Result, read
from plots.style import (
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    SKY,
    averaged,
    two_panels,
)

TITLES = {
    "binary": "MNIST, binary convolutional network of width {width}",
    "binary-mlp": "MNIST, binary 784-{width}-{width}-10",
    "binary-bvgg16": "CIFAR-10, binary VGG16 of width {width}",
}
COLOUR = {
    "float": "black", "8-bit": BLUE, "7-bit": SKY, "6-bit": GREEN, "5-bit": ORANGE, "4-bit": PINK,
    "5-bit-nearest": RED, "memoryless": PINK, "naive": GREY, "bop": BLUE, "frozen": GREY,
}  # fmt: skip
DASH = {"memoryless": DOTTED, "naive": "solid", "bop": DOTTED, "frozen": DASHED}
MARKER = {
    "float": "o", "8-bit": "s", "7-bit": "^", "6-bit": "D", "5-bit": "v", "4-bit": "<", "5-bit-nearest": "X",
    "memoryless": "P", "naive": "p", "bop": "*", "frozen": "H",
}  # fmt: skip
SCHEME = ("soft", "update", "lr", "init")
"""What tells the lines of a figure apart; all else they have in common."""
LR = {"sgd": 0.1, "adam": 0.005}
BITS = {"float": 32, "memoryless": 1, "naive": 1, "bop": 1, "frozen": 1}
REMEMBERED = {"sgd": 0, "adam": 64}
"""Bits of state that an optimiser keeps of every weight."""


def figure(name: str, results_dir: Path, suffix: str = "") -> Figure:
    """Test error against the epoch, and at the end against the bits that are kept of each weight."""
    results = trained_alike(name, results_dir, suffix)
    runs = max(len(result.runs_of("val_accuracy")) for result in results)
    drawing, (by_epoch, by_bits) = two_panels(
        TITLES[name].format(**results[0].config),
        "white markers: Adam, filled: SGD; dotted: flips by chance or by Bop"
        + "; dashed: initial weights as Glorot's"
        * any(each.config["init"] == "glorot" for each in results)
        + ".   "
        + (f"Mean of {runs} runs." if runs > 1 else "One run."),
    )
    rows = -(-len(results) // 4)
    drawing.set_figheight(4.4 + 0.24 * rows)
    drawing.subplots_adjust(
        left=0.06, top=0.8, bottom=(0.62 + 0.24 * rows) / drawing.get_figheight()
    )
    lines = [_draw(by_epoch, by_bits, result) for result in results]
    by_epoch.set(xlabel="epoch", title="error on the test images in % (log scale)", yscale="log")
    by_epoch.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    by_bits.set(xlabel="bits kept of each weight, its optimiser included (log)", yscale="log")
    by_bits.set(title="error at the end against memory", xscale="log")
    by_bits.set_xticks([1, 5, 8, 32, 65, 96])
    by_bits.xaxis.set_major_formatter("{x:.0f}")
    by_bits.xaxis.set_minor_locator(NullLocator())
    for axes in (by_epoch, by_bits):
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    drawing.legend(
        lines, [str(line.get_label()) for line in lines], ncols=4, loc="lower center", fontsize=9.5
    )
    return drawing


def trained_alike(name: str, results_dir: Path, suffix: str) -> list[Result]:
    """Return all results with the settings of `float-sgd<suffix>.json`, else `float-adam<suffix>.json`."""
    folder = results_dir / name
    network = name.removeprefix("binary-").replace("binary", "bcnn")
    command = f"python -m experiments binary --network {network}"
    references = [folder / f"float-{update}{suffix}.json" for update in ("sgd", "adam")]
    reference = read(next((path for path in references if path.is_file()), references[0]), command)
    found = [read(path, command) for path in sorted(folder.glob("*.json"))]
    if lacking := [each.path for each in found if not {*SCHEME} <= {*each.config}]:
        raise PlotError(
            f"expected {', '.join(SCHEME)} in the configuration of {lacking[0]}: {command} makes it"
        )
    alike = [
        each
        for each in found
        if _settings(each.config) == _settings(reference.config)
        and each.config["lr"] == LR[each.config["update"]]
    ]
    if unknown := [result for result in alike if result.config["soft"] not in COLOUR]:
        raise PlotError(
            f"expected soft weights among {', '.join(COLOUR)}, got {unknown[0].config['soft']!r}"
        )
    known = list(COLOUR)
    return sorted(
        alike,
        key=lambda result: (result.config["update"] == "adam", known.index(result.config["soft"])),
    )


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in SCHEME}


def bits(config: dict[str, Any]) -> int:
    """Return the bits that are kept of each weight; Bop keeps a running mean, and frozen weights no moments."""
    soft = config["soft"]
    own = BITS.get(soft) or int(soft.split("-")[0])
    return own + {"bop": 32, "frozen": 0}.get(soft, REMEMBERED[config["update"]])


def _label(result: Result) -> str:
    """Return a configuration in few words, and its accuracy at the end."""
    config, accuracy = result.config, result.runs_of("val_accuracy").mean(0)
    words = [config["soft"], *(["Adam"] if config["update"] == "adam" else [])]
    words += [config["init"]] * (config["init"] != "uniform")
    if result.diverged:
        return f"{', '.join(words)}: diverged in epoch {result.lost}"
    return f"{', '.join(words)}: {100 * accuracy[-1]:.1f} %"


def _draw(by_epoch: Axes, by_bits: Axes, result: Result) -> Line2D:
    config, errors = result.config, averaged(100 * (1 - result.runs_of("val_accuracy")))
    soft, adam = config["soft"], config["update"] == "adam"
    look: dict[str, Any] = {
        "color": COLOUR[soft],
        "marker": MARKER[soft],
        "label": _label(result),
        "markersize": 6.5,
    }
    look |= {"markerfacecolor": "white"} if adam else {}
    dash = DASHED if config["init"] == "glorot" else DASH.get(soft, "solid")
    epochs = np.arange(1, len(errors.mean) + 1)
    (line,) = by_epoch.plot(epochs, errors.mean, linestyle=dash, linewidth=1.8, **look)
    if not result.diverged:
        by_epoch.fill_between(
            epochs, errors.low, errors.high, color=COLOUR[soft], alpha=0.1, linewidth=0
        )
        by_bits.errorbar(
            [bits(config)], errors.mean[-1:], [errors.mean[-1:] - errors.low[-1:], errors.high[-1:] - errors.mean[-1:]],
            capsize=2, linestyle="none", **look,
        )  # fmt: skip
    return line
