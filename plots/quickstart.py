"""The first picture: seven ways to train the same network on scikit-learn's digits, loss and accuracy."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from plots.results import read_all
from plots.style import averaged, draw_legend, draw_panel, run_count, two_panels

K = 8
PANELS = {
    "val_loss": "loss on unseen digits (lower is better)",
    "val_accuracy": "accuracy on unseen digits (higher is better)",
}


def figure(results_dir: Path, device: str = "cpu") -> Figure:
    """Run-averaged validation loss and accuracy against the epoch."""
    results = read_all(results_dir / "digits", K, "quickstart", device)
    batch = next(iter(results.values())).batch_size
    drawing, axes = two_panels(
        f"Handwritten digits, learnt from {K} of {batch} outer products per step",
        "solid: what is left out is remembered, dashed: it is lost.   "
        f"Mean of {run_count(results, 'val_loss')}, band: 10th to 90th percentile",
    )
    for panel, (quantity, title) in zip(axes, PANELS.items(), strict=True):
        curves = {method: averaged(result.runs_of(quantity)) for method, result in results.items()}
        lines = draw_panel(panel, results, curves)
        panel.set_title(title)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    draw_legend(drawing, lines, None)
    return drawing
