from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from plots import PlotError, products, style

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]


def drawn(results: Path) -> Figure:
    with style.house_style():
        figure = products.figure(results)
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def test_two_panels_show_every_method_and_the_bound(results: Path) -> None:
    methods = [method for _, dashes in products.GROUPS.values() for method in dashes]
    figure = drawn(results)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(products.PANELS.values())
    for axes in figure.axes:
        lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.get_lines()}
        assert set(lines) == {*methods, "1 / sqrt(K)"}
        np.testing.assert_allclose(lines["1 / sqrt(K)"], [1, 10**-0.5, 0.1])
        np.testing.assert_array_equal(
            lines["weightedk"], [0.51, 0.2, np.nan]
        )  # no error has no logarithm
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(words) == {*methods, *products.GROUPS, "1 / sqrt(K)", " "}
    assert all(words[column * 6] == group for column, group in enumerate(products.GROUPS))


def test_no_two_methods_look_alike() -> None:
    looks = [
        (colour, str(dash))
        for colour, dashes in products.GROUPS.values()
        for dash in dashes.values()
    ]
    assert len(set(looks)) == len(looks)


def test_the_heading_says_what_was_measured(results: Path) -> None:
    words = " ".join(text.get_text() for text in drawn(results).texts)
    assert "100 x 100" in words
    assert "over 7 pairs" in words


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["errors"].pop("wta"),
        lambda content: content["errors"]["wta"]["mean"].pop(),
        lambda content: content["errors"]["wta"].update(mean=[1.0, None, 0.0]),
        lambda content: content.pop("config"),
    ],
)
def test_a_damaged_result_is_a_sentence(
    results: Path, rewrite: Rewrite, edit: Callable[[dict[str, Any]], Any]
) -> None:
    path = rewrite("products/mean0.json", edit)
    with pytest.raises(
        PlotError,
        match=rf"expected the errors of all methods in {path}.*python -m experiments products",
    ):
        products.figure(results)
    path.unlink()
    with pytest.raises(
        PlotError, match="got no such file: python -m experiments products makes it"
    ):
        products.figure(results)
