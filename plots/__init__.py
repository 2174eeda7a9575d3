"""Figures from result files only: python -m plots --help. Nothing here trains or imports what trains."""

from pathlib import Path

from plots.results import PlotError

__all__ = ["NAMES", "PlotError", "draw"]

GROWTH = ("growth-k", "growth-width", "growth-batch", "growth-replicas")
DEEP = ("mlp", "mlp-full", "cnn", "cnn-full", "cifar", "cifar-full")
FEEDBACK = tuple(
    f"feedback-{data}{full}" for data in ("mnist", "cifar", "alexnet") for full in ("", "-full")
)
COMBINED = tuple(f"{name}-combine" for name in FEEDBACK)
FORWARD = ("forward", "forward-narrow", "forward-vgg", "forward-vgg16")
BINARY = ("binary", "binary-mlp", "binary-bvgg16")
MEASURED = ("products", "directions", "scaling")
PAPER = ("2a", "2b", "2c", "3a", "3b", "3c")
NAMES = (*PAPER, *GROWTH, *DEEP, *FEEDBACK, *COMBINED, *FORWARD, *BINARY, *MEASURED, "quickstart")


def draw(
    name: str,
    results: Path,
    out: Path,
    recorded: Path | None = None,
    device: str = "cpu",
    suffix: str = "",
) -> list[Path]:
    """Draw one figure of NAMES from the result files below `results`; returns [out/name.png, out/name.svg].

    `recorded` is the folder of the published runs, whose means are overlaid where they exist. The same input
    gives the same bytes. `device` is where the results were trained. `suffix` is how the result files of a deep
    experiment end that was trained off its defaults ("-epochs2-devicegpu"), and its figure then too. PlotError, a
    sentence, for an unknown name and for files that cannot be used.
    """
    if name not in NAMES:
        raise PlotError(f"expected a figure among {', '.join(NAMES)}, got {name!r}")
    try:
        from plots import figures, style
    except ModuleNotFoundError as error:
        raise PlotError(
            f"figures need matplotlib, got {error}: pip install 'aopnp[experiments]'"
        ) from error
    with style.house_style():
        figure = figures.figure(name, results, recorded, device, suffix)
        return style.save(figure, name + suffix, out)
