import json
import math
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from plots import paper, quickstart, style
from plots.results import Method, PlotError, read_recorded
from tests.plots.conftest import stems

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]
LABELS = ["exact gradient"] + [
    f"{policy}{memory}"
    for policy in ("topk", "weightedk", "randk")
    for memory in (" + memory", ", no memory")
]
FIGURES = {
    "2a": ("energy", 18), "2b": ("energy", 9), "2c": ("energy", 3),
    "3a": ("mnist", 32), "3b": ("mnist", 16), "3c": ("mnist", 8), "quickstart": ("digits", 8),
}  # fmt: skip
PANELS = {"quickstart": ("val_loss", "val_accuracy")}


def drawn(name: str, results: Path, recorded: Path | None = None) -> Figure:
    with style.house_style():
        figure = (
            quickstart.figure(results)
            if name == "quickstart"
            else paper.figure(name, results, recorded)
        )
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def curves(axes: Axes) -> dict[str, list[float]]:
    return {
        str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()
    }


def legend_labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts() if text.get_text().strip()]


def root(dataset: str, value: float) -> float:
    return math.sqrt(value) if dataset == "energy" else value


@pytest.mark.parametrize("name", FIGURES)
def test_every_curve_is_its_formula(name: str, results: Path) -> None:
    dataset, k = FIGURES[name]
    figure = drawn(name, results)
    for axes, quantity in zip(
        figure.axes, PANELS.get(name, ("train_loss", "val_loss")), strict=True
    ):
        expected = {}
        for label, stem in zip(LABELS, stems(k), strict=True):
            runs = json.loads((results / dataset / f"{stem}.json").read_text())["history"][quantity]
            means = [statistics.mean(values) for values in zip(*runs, strict=True)]
            expected[label] = pytest.approx([root(dataset, mean) for mean in means], rel=1e-12)
        assert curves(axes) == expected
        assert all(
            list(np.asarray(line.get_xdata())) == [1, 2, 3, 4, 5] for line in axes.get_lines()
        )
    assert legend_labels(figure) == LABELS


@pytest.mark.parametrize("name", ["2b", "3b", "quickstart"])
def test_every_band_is_the_10th_to_90th_percentile_of_the_runs(name: str, results: Path) -> None:
    dataset, k = FIGURES[name]
    panel = drawn(name, results).axes[0]
    quantity = PANELS.get(name, ("train_loss",))[0]
    assert len(panel.collections) == 7
    for band, stem in zip(panel.collections, stems(k), strict=True):
        runs = json.loads((results / dataset / f"{stem}.json").read_text())["history"][quantity]
        corners = np.asarray(band.get_paths()[0].vertices)
        for epoch, values in enumerate(zip(*runs, strict=True), start=1):
            deciles = statistics.quantiles(
                [root(dataset, v) for v in values], n=10, method="inclusive"
            )
            heights = corners[corners[:, 0] == epoch, 1]
            assert (heights.min(), heights.max()) == pytest.approx(
                (deciles[0], deciles[-1]), rel=1e-12
            )


def test_policies_differ_by_colour_and_memory_by_dash(results: Path) -> None:
    lines = drawn("2a", results).axes[0].get_lines()
    colours = [to_hex(line.get_color()) for line in lines]
    assert colours[1::2] == colours[2::2]
    assert len(set(colours)) == 4
    assert [line.is_dashed() for line in lines] == [False] + 3 * [False, True]


@pytest.mark.parametrize(
    ("name", "scale"), [("2a", "log"), ("3a", "linear"), ("quickstart", "linear")]
)
def test_scale(name: str, scale: str, results: Path) -> None:
    figure = drawn(name, results)
    assert [axes.get_yscale() for axes in figure.axes] == [scale, scale]
    assert all(("log scale" in axes.get_title("left")) == (scale == "log") for axes in figure.axes)


@pytest.mark.parametrize(
    ("name", "kept"), [("2a", "18 of 144"), ("3c", "8 of 64"), ("quickstart", "8 of 64")]
)
def test_heading_tells_how_much_is_kept_and_how_many_runs(
    name: str, kept: str, results: Path, rewrite: Rewrite
) -> None:
    title, subtitle = (text.get_text() for text in drawn(name, results).texts)
    assert kept in title
    assert "ean of 3 runs, band: 10th to 90th percentile" in subtitle
    dataset = FIGURES[name][0]
    rewrite(
        f"{dataset}/exact.json",
        lambda content: [runs.pop() for runs in content["history"].values()],
    )
    assert "ean of 2 to 3 runs" in drawn(name, results).texts[1].get_text()


@pytest.mark.parametrize(
    ("name", "label", "stem"),
    [("2a", "topk + memory", "energy_topk_mem_K18"), ("3b", "exact gradient", "mnist_baseline")],
)
def test_published_means_are_dots_where_there_is_a_record(
    name: str, label: str, stem: str, results: Path, recorded: Path
) -> None:
    figure = drawn(name, results, recorded)
    for axes, array in zip(figure.axes, ("loss", "loss_val"), strict=True):
        *_, dots = lines = axes.get_lines()
        assert len(lines) == 8
        mean = np.load(recorded / f"{stem}.npz")[array].mean(axis=0)
        expected = np.sqrt(mean) if name == "2a" else mean
        np.testing.assert_allclose(np.asarray(dots.get_ydata(), dtype=float), expected, rtol=1e-12)
        (own,) = [line for line in lines if line.get_label() == label]
        own_colour, dot_colour = (np.array(to_rgb(line.get_color())) for line in (own, dots))
        np.testing.assert_allclose(dot_colour, 0.6 * own_colour)
    assert sorted(legend_labels(figure)) == sorted([*LABELS, "published mean"])


def blow_up(content: dict[str, Any]) -> None:
    content["status"] = "diverged"
    for runs in content["history"].values():
        runs[0][2:] = [1e30, 1.7e308, None]
        runs[1][3:] = [1.7e308]


def test_a_diverged_result_is_drawn_while_finite_and_does_not_stretch_the_axes(
    results: Path, rewrite: Rewrite
) -> None:
    for name, stem in (("2a", "energy/topk-row-k18"), ("3a", "mnist/topk-row-k32")):
        before = json.loads((results / f"{stem}.json").read_text())["history"]["train_loss"]
        rewrite(f"{stem}.json", blow_up)
        figure = drawn(name, results)
        line = curves(figure.axes[0])["topk + memory (diverged)"]
        start = [
            root(FIGURES[name][0], statistics.mean(run[epoch] for run in before))
            for epoch in (0, 1)
        ]
        assert line[:2] == pytest.approx(start)
        assert line[2] == pytest.approx(root(FIGURES[name][0], 1e30 / 3))
        assert not np.isfinite(line[3:]).any()
        assert figure.axes[0].get_ylim()[1] < 2
        assert len(figure.axes[0].collections) == 6
        assert legend_labels(figure)[1] == "topk + memory (diverged)"


def test_when_everything_diverged_there_is_still_a_picture_with_a_legend_inside(
    results: Path, recorded: Path, rewrite: Rewrite
) -> None:
    def say_diverged(content: dict[str, Any]) -> None:
        content["status"] = "diverged"

    for stem in stems(18):
        rewrite(f"energy/{stem}.json", say_diverged)
    figure = drawn("2a", results, recorded)
    low, high = figure.axes[0].get_ylim()
    values = [value for label, line in curves(figure.axes[0]).items() for value in line]
    assert low < min(values) < max(values) < high
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert 0 <= box.y0 < box.y1 <= figure.axes[0].get_window_extent().y0


def test_recorded_files_belong_to_their_method(recorded: Path) -> None:
    assert list(read_recorded(recorded, "energy", 18, "val_loss")) == [Method("topk", "row")]
    assert list(read_recorded(recorded, "mnist", 8, "train_loss")) == [Method("exact")]
    (recorded / "mnist_baseline.npz").rename(recorded / "energy_randk_nomem_K3.npz")
    assert list(read_recorded(recorded, "energy", 3, "val_loss")) == [Method("randk", "none")]


def test_the_authors_runs_are_found_where_published(results: Path) -> None:
    if "AOPNP_RECORDED_DIR" not in os.environ:
        pytest.skip("needs the published runs: set AOPNP_RECORDED_DIR to their folder")
    folder = Path(os.environ["AOPNP_RECORDED_DIR"])
    found = {
        name: read_recorded(folder, *FIGURES[name], "val_loss")
        for name in FIGURES
        if name != "quickstart"
    }
    assert [len(curves) for curves in found.values()] == [7, 1, 7, 7, 1, 7]
    shapes = {name: {runs.shape for runs in curves.values()} for name, curves in found.items()}
    assert shapes == {name: {(10, 100) if name < "3" else (10, 30)} for name in found}


def test_a_quantity_that_was_not_recorded_is_named(results: Path, rewrite: Rewrite) -> None:
    path = rewrite("digits/exact.json", lambda content: content["history"].pop("val_accuracy"))
    with pytest.raises(PlotError, match=f"expected val_accuracy in the history of {path}, got"):
        drawn("quickstart", results)
