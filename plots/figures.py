"""Which module draws which figure."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from plots import (
    BINARY,
    COMBINED,
    DEEP,
    FEEDBACK,
    FORWARD,
    GROWTH,
    binary,
    deep,
    directions,
    feedback,
    feedback_combine,
    forward,
    growth,
    paper,
    products,
    quickstart,
    scaling,
)

TRAINED: dict[str, Callable[[str, Path, str], Figure]] = {
    **dict.fromkeys(DEEP, deep.figure),
    **dict.fromkeys(FEEDBACK, feedback.figure),
    **dict.fromkeys(FORWARD, forward.figure),
    **dict.fromkeys(BINARY, binary.figure),
    **dict.fromkeys(COMBINED, feedback_combine.figure),
}
"""Figures of result files that may end in a suffix."""
MEASURED: dict[str, Callable[[Path], Figure]] = {
    "products": products.figure,
    "directions": directions.figure,
    "scaling": scaling.figure,
}


def figure(name: str, results: Path, recorded: Path | None, device: str, suffix: str) -> Figure:
    """Return the figure `name`, as `plots.draw` describes it."""
    if name in TRAINED:
        on_device = "" if device == "cpu" else f"-device{device}"
        return TRAINED[name](name.removesuffix("-combine"), results, suffix or on_device)
    if name in MEASURED:
        return MEASURED[name](results)
    if name in GROWTH:
        return growth.figure(name, results)
    return (
        quickstart.figure(results, device)
        if name == "quickstart"
        else paper.figure(name, results, recorded, device)
    )
