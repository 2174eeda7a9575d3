"""What is cut off or covered in a figure: text beyond its edge, a legend over the panels."""

from collections.abc import Iterator

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def cut_off(figure: Figure) -> list[str]:
    """Every visible text that does not lie within the figure, and every legend that reaches into a panel."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    outside = []
    for text in (each for each in _texts(figure) if each.get_text().strip()):
        box = text.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
        if not (
            box.x0 >= 0
            and box.y0 >= 0
            and box.x1 <= figure.bbox.width
            and box.y1 <= figure.bbox.height
        ):
            outside.append(
                f"{text.get_text()!r} reaches from {box.min} to {box.max} in {figure.bbox.size}"
            )
    panels = [axes.get_tightbbox(canvas.get_renderer()) for axes in figure.axes]  # type: ignore[no-untyped-call]
    for legend in figure.legends:
        if any(
            panel is not None and legend.get_window_extent().overlaps(panel) for panel in panels
        ):
            outside.append("the legend covers a panel")
    return outside


def _texts(figure: Figure) -> Iterator[Text]:
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from (child for child in axes.get_children() if isinstance(child, Text))  # titles
        for axis, (low, high) in (
            (axes.xaxis, sorted(axes.get_xlim())),
            (axes.yaxis, sorted(axes.get_ylim())),
        ):
            yield axis.label
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield tick.label1
