import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from plots import GROWTH, NAMES, PlotError, growth, style
from tests.plots.conftest import GROWTH as RECORD
from tests.plots.conftest import RATIOS

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]
IDEAL = {"growth-k": [0.25, 0.5, 1.0], "growth-width": [1 / 8] * 3, "growth-batch": [1 / 8] * 3}


def drawn(name: str, results: Path) -> Figure:
    with style.house_style():
        figure = growth.figure(name, results)
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def lines(figure: Figure) -> dict[str, tuple[list[float], list[float]]]:
    (axes,) = figure.axes
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata()).tolist(),
            np.asarray(line.get_ydata()).tolist(),
        )
        for line in axes.get_lines()
    }


def test_every_picture_has_a_name() -> None:
    assert tuple(growth.PICTURES) == GROWTH
    assert set(GROWTH) < set(NAMES)


@pytest.mark.parametrize("name", GROWTH)
def test_the_lines_are_the_record_the_ideal_and_the_break_even(name: str, results: Path) -> None:
    series, picture, found = (
        name.removeprefix("growth-"),
        growth.PICTURES[name],
        lines(drawn(name, results)),
    )
    record = RECORD["series"][series]
    measured = {picture.lines[key]: (record["x"], record[key]) for key in RATIOS[series]}
    ideal = {"ideal, K/M": (record["x"], IDEAL[name])} if name in IDEAL else {}
    assert found.pop("break-even")[1] == [1.0, 1.0]
    assert found == measured | ideal


def test_the_heading_says_how_and_where_it_was_measured(results: Path) -> None:
    words = [text.get_text() for text in drawn("growth-k", results).texts]
    assert "medians of 7, float32, one thread; a machine" in words


def test_halves_are_written_as_fractions(results: Path) -> None:
    (axes,) = drawn("growth-k", results).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1/4", "1/2", "1"]


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "schema": (lambda content: content.update(schema=2), "expected schema 1 in {path}, got 2"),
    "no series": (
        lambda content: content["series"].pop("k"),
        "expected the series 'k' in {path}, got KeyError('k')",
    ),
    "no machine": (
        lambda content: content.pop("machine"),
        "expected the series 'k' in {path}, got KeyError",
    ),
    "words": (
        lambda content: content["series"]["k"].update(x=["a"]),
        "expected the series 'k' in {path}, got",
    ),
    "shorter": (
        lambda content: content["series"]["k"]["ratio"].pop(),
        "not as many as on the axis",
    ),
    "zero": (
        lambda content: content["series"]["k"].update(ratio=[0, 1, 1]),
        "values that are not positive",
    ),
    "nan": (
        lambda content: content["series"]["k"].update(ratio=[float("nan"), 1, 1]),
        "values that are not positive",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_refused(damage: str, results: Path, rewrite: Rewrite) -> None:
    edit, expected = DAMAGE[damage]
    path = rewrite("bench/growth.json", edit)
    with pytest.raises(PlotError, match=re.escape(expected.format(path=path))) as caught:
        growth.figure("growth-k", results)
    assert str(caught.value).endswith("python -m experiments bench growth makes it")


def test_a_missing_record_is_named_with_what_makes_it(results: Path) -> None:
    (results / "bench" / "growth.json").unlink()
    with pytest.raises(
        PlotError, match=r"got no such file: python -m experiments bench growth makes it"
    ):
        growth.figure("growth-width", results)
