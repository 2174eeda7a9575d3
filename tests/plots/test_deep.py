import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from plots import DEEP, NAMES, PlotError, deep, draw, style
from plots.__main__ import main
from tests.plots.conftest import DEEP as FOLDERS
from tests.plots.conftest import EPOCHS, SCHEMES

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]
LABELS = {
    "exact": "exact gradient",
    "bernoulli-none-ratio0.5": "bernoulli",
    "topk-none-ratio0.25-whereforward": "topk, 25 % of the forward product",
    "topk-none-ratio0.5": "topk",
    "topk-row-ratio0.5": "topk + memory",
}


def drawn(results: Path, name: str = "mlp", suffix: str = "") -> Figure:
    with style.house_style():
        figure = deep.figure(name, results, suffix)
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def curves(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata()).tolist(),
            np.asarray(line.get_ydata()).tolist(),
        )
        for line in axes.get_lines()
    }


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_every_deep_experiment_has_a_figure() -> None:
    assert DEEP == FOLDERS
    assert set(DEEP) < set(NAMES)


@pytest.mark.parametrize("name", DEEP)
def test_every_curve_is_the_mean_loss_against_epoch_and_compute(name: str, results: Path) -> None:
    figure = drawn(results, name)
    epochs, compute = (curves(axes) for axes in figure.axes)
    assert [*epochs] == [*compute] == [*LABELS.values()]
    for stem, label in LABELS.items():
        history = json.loads((results / name / f"{stem}.json").read_text())["history"]
        loss = [statistics.mean(values) for values in zip(*history["val_loss"], strict=True)]
        flops = [
            statistics.mean(values) / 4 for values in zip(*history["flops"], strict=True)
        ]  # 4: an exact epoch
        cost = [sum(flops[: epoch + 1]) for epoch in range(EPOCHS)]
        assert epochs[label][0] == [1, 2, 3, 4, 5]
        assert epochs[label][1] == compute[label][1] == pytest.approx(loss, rel=1e-12)
        assert compute[label][0] == pytest.approx(cost, rel=1e-12)
    assert compute["exact gradient"][0] == [1, 2, 3, 4, 5]
    accuracy = {
        stem: statistics.mean(
            run[-1] for run in json.loads(path.read_text())["history"]["val_accuracy"]
        )
        for stem in LABELS
        if (path := results / name / f"{stem}.json")
    }
    expected = [f"{label}: {100 * accuracy[stem]:.1f} %" for stem, label in LABELS.items()]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == expected


def test_bands_are_percentiles_of_the_runs_as_long_as_there_are_few(results: Path) -> None:
    figure = drawn(results)
    assert "band: 10th to 90th percentile" in words(figure)[1]
    band = figure.axes[0].collections[0]
    runs = json.loads((results / "mlp" / "exact.json").read_text())["history"]["val_loss"]
    corners = np.asarray(band.get_paths()[0].vertices)
    for epoch, values in enumerate(zip(*runs, strict=True), start=1):
        deciles = statistics.quantiles(values, n=10, method="inclusive")
        heights = corners[corners[:, 0] == epoch, 1]
        assert (heights.min(), heights.max()) == pytest.approx((deciles[0], deciles[-1]), rel=1e-12)
    content = json.loads((results / "mlp" / "topk-row-ratio0.5.json").read_text())
    for number in range(4):
        content["config"]["policy"] = f"policy{number}"
        (results / "mlp" / f"policy{number}-row-ratio0.5.json").write_text(json.dumps(content))
    many = drawn(results)
    assert len(many.axes[0].get_lines()) == 9
    assert not many.axes[0].collections
    assert "Mean of 3 runs.  " in words(many)[1]


def test_policies_differ_by_colour_memory_by_dash_and_all_by_marker(results: Path) -> None:
    lines = {str(line.get_label()): line for line in drawn(results).axes[0].get_lines()}
    exact, bernoulli, forward, topk, memory = lines.values()
    assert to_hex(topk.get_color()) == to_hex(memory.get_color()) == to_hex(forward.get_color())
    assert len({to_hex(line.get_color()) for line in (exact, bernoulli, topk)}) == 3
    assert len({line.get_linestyle() for line in (exact, memory)}) == 1
    assert exact.get_linewidth() > memory.get_linewidth()
    assert len({line.get_marker() for line in lines.values()}) == 5
    patterns = [line._dash_pattern for line in (memory, topk, forward)]  # type: ignore[attr-defined]
    assert len({str(pattern) for pattern in patterns}) == 3


def test_the_heading_says_what_most_lines_keep(results: Path, rewrite: Rewrite) -> None:
    assert words(drawn(results))[0] == "MNIST, three dense layers: 50 % of the weight gradient"
    assert "Mean of 3 runs, band" in words(drawn(results))[1]
    for stem in SCHEMES:
        if stem != "exact":
            rewrite(
                f"mlp/{stem}.json",
                lambda content: content["config"].update(ratio=0.1, where="weight,input"),
            )
    figure = drawn(results)
    assert words(figure)[0].endswith(": 10 % of the weight gradient and the input gradient")
    assert not any("%" in label for label in curves(figure.axes[0]))
    for stem in SCHEMES:
        if stem != "exact":
            (results / "mlp" / f"{stem}.json").unlink()
    assert words(drawn(results))[0] == "MNIST, three dense layers: exact gradient"


def test_only_what_was_trained_with_the_same_settings_is_drawn(
    results: Path, rewrite: Rewrite
) -> None:
    rewrite("cnn/topk-row-ratio0.5.json", lambda content: content["config"].update(lr=0.02))
    assert [*curves(drawn(results, "cnn").axes[0])] == [
        label for label in LABELS.values() if label != "topk + memory"
    ]
    for stem in ("exact", "topk-none-ratio0.5"):
        path = rewrite(f"cnn/{stem}.json", lambda content: content["config"].update(lr=0.02))
        path.rename(path.with_name(f"{stem}-lr0.02.json"))
    assert [*curves(drawn(results, "cnn", "-lr0.02").axes[0])] == [
        "exact gradient",
        "topk",
        "topk + memory",
    ]


def test_a_watched_configuration_is_drawn_once(results: Path, rewrite: Rewrite) -> None:
    before = (results / "mlp" / "topk-row-ratio0.5.json").read_text()
    path = rewrite(
        "mlp/topk-row-ratio0.5.json", lambda content: content["config"].update(watch=True)
    )
    path.rename(path.with_name("topk-row-ratio0.5-watch.json"))
    path.write_text(before)
    assert [*curves(drawn(results).axes[0])] == [*LABELS.values()]


def test_a_diverged_configuration_says_so_and_has_no_band(results: Path, rewrite: Rewrite) -> None:
    def blow_up(content: dict[str, Any]) -> None:
        content.update(status="diverged")
        for runs in content["history"].values():
            runs[1][2:] = [None] * (EPOCHS - 2)

    rewrite("mlp/topk-none-ratio0.5.json", blow_up)
    figure = drawn(results)
    _, y = curves(figure.axes[0])["topk (diverged)"]
    assert np.isfinite(y).tolist() == [True, True, False, False, False]
    assert len(figure.axes[0].collections) == 4


def test_the_suffix_names_files_and_figure(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in ("exact", "topk-none-ratio0.5"):
        path = results / "mlp" / f"{stem}.json"
        path.rename(path.with_name(f"{stem}-epochs2.json"))
    out = tmp_path / "figures"
    assert main(["mlp", "--suffix=-epochs2", "--results", str(results), "--out", str(out)]) == 0
    expected = [str(out / f"mlp-epochs2.{ending}") for ending in ("png", "svg")]
    assert capsys.readouterr().out.splitlines() == expected
    with pytest.raises(
        PlotError,
        match=r"expected the result file .*mlp/exact.json, got no such file: python -m exp",
    ):
        draw("mlp", results, out)
    with pytest.raises(PlotError, match=r"mlp/exact-devicegpu.json"):
        draw("mlp", results, out, device="gpu")


def test_missing_and_damaged_results_are_named_with_what_makes_them(results: Path) -> None:
    (results / "cifar-full" / "exact.json").unlink()
    with pytest.raises(
        PlotError,
        match=r"cifar-full/exact.json, got no such file: python -m experiments cifar --full",
    ):
        drawn(results, "cifar-full")
    (results / "cnn" / "topk-row-ratio0.5.json").write_text("{")
    with pytest.raises(
        PlotError, match=r"expected a JSON result file in .*cnn/topk-row-ratio0.5.json, got "
    ):
        drawn(results, "cnn")
    path = results / "mlp" / "topk-row-ratio0.5.json"
    content = json.loads(path.read_text())
    del content["history"]["flops"]
    path.write_text(json.dumps(content))
    with pytest.raises(
        PlotError, match=r"expected flops in the history of .*topk-row-ratio0.5.json, got "
    ):
        drawn(results)
