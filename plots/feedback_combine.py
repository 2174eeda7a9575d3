"""Direct feedback with approximate products: test loss against the epoch, and against what the products cost.

cost of an epoch = flops of all products of a training so far / flops of back-propagation, exact, in one epoch
"""

import itertools
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from plots.feedback import LINES, TITLES, at_the_end, of_runs, trained_alike
from plots.results import Array, Result
from plots.style import DASHED, averaged, two_panels

COLOURS = {rule: LINES[rule][0] for rule in ("bp", "dfa", "dkp")}
MARKERS = "os^Dv<>PX*"


def figure(name: str, results_dir: Path, suffix: str = "") -> Figure:
    """Test loss of three rules, each with exact and with approximate weight gradients of the hidden layers."""
    alike = {s: r for s, r in trained_alike(name, results_dir, suffix).items() if _combined(s, r)}
    results = sorted(alike.values(), key=lambda result: [*COLOURS].index(result.config["rule"]))
    one_epoch = alike["bp"].runs_of("flops")[:, 0].mean()
    runs, epochs = alike["bp"].runs_of("val_loss").shape
    drawing, (by_epoch, by_cost) = two_panels(
        f"{TITLES[name]}: feedback and approximate weight gradients",
        f"solid: exact weight gradients, dashed: approximate.   {of_runs(runs)}   Below: test accuracy",
    )
    drawing.subplots_adjust(left=0.065)
    costs = [result.runs_of("flops").mean(0).cumsum() / one_epoch for result in results]
    lines = _panel(by_epoch, results, [np.arange(1.0, epochs + 1)] * len(results))
    _panel(by_cost, results, costs)
    by_epoch.set(xlabel="epoch", title="loss on the test images (log scale)")
    by_epoch.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    by_cost.set(
        xlabel="flops of all products, in exact epochs of bp", title="the same against compute"
    )
    drawing.legend(handles=lines, ncols=3, loc="lower center", fontsize=9.5)
    return drawing


def _combined(scheme: str, result: Result) -> bool:
    """Return whether a result belongs to the study: one of its rules, with the usual initial values of B."""
    rule, policy = result.config["rule"], result.config["policy"]
    return rule in COLOURS and (
        scheme == rule if policy == "exact" else scheme.startswith(f"{rule}-{policy}-")
    )


def _in_words(result: Result) -> str:
    config = result.config
    if config["policy"] == "exact":
        return f"{config['rule']}, exact"
    memory = "" if config["memory"] == "none" else f" + {config['memory']} memory"
    return f"{config['rule']}, {config['policy']}{memory}, {100 * config['ratio']:g} %"


def _panel(axes: Axes, results: list[Result], places: list[Array]) -> list[Line2D]:
    lines = []
    for result, x, marker in zip(results, places, itertools.cycle(MARKERS)):
        exact, curve = result.config["policy"] == "exact", averaged(result.runs_of("val_loss"))
        colour = COLOURS[result.config["rule"]]
        (line,) = axes.plot(
            x, curve.mean, color=colour, linestyle="solid" if exact else DASHED, marker=marker
        )
        line.set(
            linewidth=1.8,
            markersize=4.5,
            markevery=max(1, len(x) // 10),
            label=at_the_end(_in_words(result), result),
        )
        lines.append(line)
        if not result.diverged:
            axes.fill_between(x, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    return lines
