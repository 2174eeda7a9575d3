"""Why forward gradients do not scale with model size: measured variance, and the largest stable step size, against n.

Both are measured, neither follows from the other here: the closed form of the variance is drawn beside it, and of the
step sizes what they would be if they fell as 1/n.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from plots.results import Array, PlotError, read_json
from plots.style import COLOURS, GREY, two_panels

COMMAND = "python -m experiments directions"


def figure(results_dir: Path) -> Figure:
    """Variance of one-direction estimates, and step sizes of both rules, against the number of parameters."""
    content, (n, error, limit, expected), rates = _read(results_dir / "directions" / "scaling.json")
    config = content["config"]
    drawing, (variances, steps) = two_panels(
        "Forward gradients do not scale with model size",
        f"MNIST, 784-w-w-10, w = {config['widths'][0]} to {config['widths'][-1]}; one Rademacher direction, no clip, "
        f"batches of {config['batch_size']}; {config['runs']} runs",
    )
    lines: list[Any] = [
        variances.errorbar(
            n,
            error,
            limit,
            color=COLOURS["topk"],
            linestyle="none",
            marker="o",
            capsize=3,
            label="measured variance",
        ),
        variances.plot(
            n,
            expected,
            color="black",
            linewidth=1.2,
            linestyle=(0, (4, 2)),
            label="closed form, n - 1",
        )[0],
    ]
    for name, label, colour, marker in (
        ("backprop", "back-propagation", COLOURS["randk"], "s"),
        ("forward", "forward gradient", COLOURS["weightedk"], "^"),
    ):
        mean = np.exp(np.log(rates[name]).mean(-1))
        lines += steps.plot(
            n,
            mean,
            color=colour,
            marker=marker,
            linewidth=1.8,
            label=f"{label}: largest stable step",
        )
        for runs in rates[name].T:  # the line goes through their geometric mean
            steps.plot(
                n, runs, color=colour, marker=marker, markersize=4, linestyle="none", alpha=0.5
            )
    falling = mean[0] * n[0] / n
    lines += steps.plot(
        n, falling, color=GREY, linewidth=1.2, linestyle=(0, (1, 1.5)), label="falling as 1/n"
    )
    for axes in (variances, steps):
        axes.set(xscale="log", yscale="log", xlabel="number of parameters n (log scale)")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
    variances.yaxis.set_major_formatter(EngFormatter(sep=""))
    variances.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    variances.set_title("E |estimate - g|² / |g|² at the initial weights")
    steps.set_title("largest stable step size (powers of two are tried)")
    drawing.legend(handles=lines, ncols=3, loc="lower center", fontsize=10)
    return drawing


def _read(path: Path) -> tuple[dict[str, Any], list[Array], dict[str, Array]]:
    """Return content; n, variances measured, their limits, in closed form; rule -> step sizes [widths, runs]."""
    content = read_json(path, COMMAND)
    try:
        measured = [
            np.array(content[key], dtype=float)
            for key in ("n", "error", "error_limit", "expected_error")
        ]
        rates = {name: np.array(content[name], dtype=float) for name in ("forward", "backprop")}
        widths = len(content["config"]["widths"])
        if any(each.shape != (widths,) for each in measured):
            raise ValueError("not as many values as widths")
        if any(each.shape != (widths, content["config"]["runs"]) for each in rates.values()):
            raise ValueError("no step size for every width and run")
        _ = [content["config"][key] for key in ("batch_size", "runs")]
        return content, measured, rates
    except (KeyError, TypeError, ValueError) as error_of:
        raise PlotError(
            f"expected a measurement in {path}, got {error_of!r}: {COMMAND} makes it"
        ) from error_of
