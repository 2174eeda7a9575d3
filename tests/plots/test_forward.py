import json
import statistics
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plots import FORWARD, NAMES, PlotError, draw, forward, style
from plots.__main__ import main
from tests.plots.conftest import EPOCHS, OTHERS
from tests.plots.conftest import FORWARD as FOLDERS
from tests.plots.edges import cut_off

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]
COMMAND = "python -m experiments forward --network"
BASE = {
    "backprop": "back-propagation, step 0.1", "backprop-lr0.00046": "back-propagation", "rademacher": "rademacher",
    "rademacher-clipNone": "rademacher, no clip",
}  # fmt: skip
LABELS = {
    "forward": {**BASE, "gaussian-epochs3": "gaussian"},
    "forward-narrow": {
        **BASE, **{name: name.replace("_", " ") for name in OTHERS}, "activity-lr0.01": "activity, step 0.01",
        "rademacher-updatecritical": "rademacher, critical",
        "rademacher-updateerror-feedback": "rademacher, error-feedback",
    },
    "forward-vgg": {
        **BASE, "gaussian": "gaussian", "rademacher-num-dir10": "rademacher, m = 10", "activity": "activity",
    },
    "forward-vgg16": {
        **BASE, "gaussian-num-dir20": "gaussian, m = 20", "orthogonal-num-dir25": "orthogonal, m = 25",
        "orthogonal-num-dir50": "orthogonal, m = 50",
    },
}  # fmt: skip
TITLES = {
    "forward": "MNIST, 784-1024-1024-10", "forward-narrow": "MNIST, 784-256-256-10: every strategy",
    "forward-vgg": "CIFAR-10 (16000 images), a small VGG-type network of width 8",
    "forward-vgg16": "CIFAR-10, VGG16 of width 64",
}  # fmt: skip


def drawn(results: Path, name: str = "forward", suffix: str = "") -> Figure:
    with style.house_style():
        return forward.figure(name, results, suffix)


def lines(axes: Axes) -> dict[str, Line2D]:
    found = {str(line.get_label()).split(":")[0]: line for line in axes.get_lines()}
    assert len(found) == len(axes.get_lines())
    return found


def points(line: Line2D) -> tuple[list[float], list[float]]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def history(results: Path, stem: str, name: str = "forward") -> dict[str, Any]:
    return json.loads((results / name / f"{stem}.json").read_text())["history"]  # type: ignore[no-any-return]


def means(runs: list[list[float]]) -> list[float]:
    return [statistics.mean(values) for values in zip(*runs, strict=True)]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def look(line: Line2D) -> tuple[str, str, str, str]:
    dash, fill = str(line._dash_pattern), to_hex(line.get_markerfacecolor())  # type: ignore[attr-defined]
    return to_hex(line.get_color()), dash, str(line.get_marker()), fill


def copied(results: Path, stem: str, other: str, name: str = "forward", **changes: Any) -> None:
    """Write the result `stem` once more under the name `other`, with these entries of its configuration changed."""
    content = json.loads((results / name / f"{stem}.json").read_text())
    content["config"].update(changes)
    (results / name / f"{other}.json").write_text(json.dumps(content))


def test_every_experiment_with_forward_gradients_has_a_figure() -> None:
    assert tuple(FOLDERS) == FORWARD
    assert set(FORWARD) < set(NAMES)


@pytest.mark.parametrize("name", FORWARD)
def test_every_curve_is_the_mean_loss_against_epoch_and_compute(name: str, results: Path) -> None:
    figure = drawn(results, name)
    by_epoch, by_cost = (lines(axes) for axes in figure.axes)
    assert {*by_epoch} == {*by_cost} == {*LABELS[name].values()}
    for stem, label in LABELS[name].items():
        own = history(results, stem, name)
        loss, flops = means(own["val_loss"]), means(own["flops"])
        assert points(by_epoch[label])[0] == [1, 2, 3, 4, 5][: len(loss)]
        assert (
            points(by_epoch[label])[1]
            == points(by_cost[label])[1]
            == pytest.approx(loss, rel=1e-12)
        )
        cost = [total / 4 for total in accumulate(flops)]  # 4: an epoch of back-propagation
        assert points(by_cost[label])[0] == pytest.approx(cost, rel=1e-12)
    assert points(by_cost["back-propagation"])[0] == [1, 2, 3, 4, 5]
    last = {
        label: 100 * means(history(results, stem, name)["val_accuracy"])[-1]
        for stem, label in LABELS[name].items()
    }
    assert set(legend(figure)) == {f"{label}: {accuracy:.1f} %" for label, accuracy in last.items()}
    assert legend(figure) == [str(line.get_label()) for line in figure.axes[0].get_lines()]


@pytest.mark.parametrize("name", FORWARD)
def test_heading_axes_and_scales(name: str, results: Path) -> None:
    figure = drawn(results, name)
    title, subtitle = (text.get_text() for text in figure.texts)
    assert title == TITLES[name]
    assert subtitle.startswith(
        "forward gradients: m = 1 direction, clip 1, step size 0.00046 unless told otherwise."
    )
    assert subtitle.endswith("Mean of 3 runs.")
    by_epoch, by_cost = figure.axes
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "linear"]
    assert by_epoch.get_title("left") == "loss on the test images (log scale)"
    assert by_cost.get_title("left") == "the same against compute"
    assert by_epoch.get_xlabel() == "epoch"
    assert by_cost.get_xlabel() == "flops of all products, in epochs of back-propagation"
    assert all(place == int(place) for place in by_epoch.get_xticks())


@pytest.mark.parametrize("name", FORWARD)
def test_no_two_lines_look_alike(name: str, results: Path) -> None:
    for axes in drawn(results, name).axes:
        looks: dict[tuple[str, ...], list[str]] = {}
        for label, line in lines(axes).items():
            looks.setdefault(look(line), []).append(label)
        assert [labels for labels in looks.values() if len(labels) > 1] == []


def test_both_panels_show_a_result_alike(results: Path) -> None:
    by_epoch, by_cost = (lines(axes) for axes in drawn(results, "forward-narrow").axes)
    assert {label: look(line) for label, line in by_epoch.items()} == {
        label: look(line) for label, line in by_cost.items()
    }
    order = list(forward.LINES)
    drawn_order = [
        label.split(",")[0].replace(" ", "_").replace("back-propagation", "backprop")
        for label in by_epoch
    ]
    assert drawn_order == sorted(drawn_order, key=order.index)


def test_markers_are_white_where_the_strategy_was_drawn_before(results: Path) -> None:
    found = lines(drawn(results, "forward-narrow").axes[0])
    white = {label for label, line in found.items() if look(line)[3] != look(line)[0]}
    assert white == {
        *("rademacher, no clip", "rademacher, critical", "rademacher, error-feedback"),
        "back-propagation",  # with the step size of the others: with its own it comes first
    }


def test_the_heading_is_of_the_reference_though_another_comes_first(results: Path) -> None:
    copied(results, "rademacher", "a", lr=0.1, decay=0.5)
    figure = drawn(results)
    assert "step size 0.00046 unless told otherwise" in figure.texts[1].get_text()
    assert {"rademacher", "rademacher, step 0.1, decay 0.5", "gaussian"} < {*lines(figure.axes[0])}


def test_words_tell_every_option_apart(results: Path) -> None:
    copied(results, "rademacher", "a", num_dir=3, clip=0.5, update="adam", lr=0.002)
    assert "rademacher, m = 3, clip 0.5, adam, step 0.002" in lines(drawn(results).axes[0])


@pytest.mark.parametrize(
    "other",
    [
        {"width": 4},
        {"batch_size": 32},
        {"runs": 1},
        {"seed": 1},
        {"dtype": "float64"},
        {"device": "gpu"},
    ],
)
def test_results_of_other_settings_are_not_drawn(other: dict[str, Any], results: Path) -> None:
    copied(results, "rademacher", "sphere", strategy="sphere", **other)
    copied(results, "rademacher", "frame", strategy="frame")
    assert {*lines(drawn(results).axes[0])} == {*LABELS["forward"].values(), "frame"}


def test_of_each_configuration_the_longest_training_no_longer_than_the_reference(
    results: Path, rewrite: Rewrite
) -> None:
    def shortened(epochs: int) -> Callable[[dict[str, Any]], Any]:
        def change(content: dict[str, Any]) -> None:
            content["config"].update(epochs=epochs, strategy="sphere")
            content["history"] = {
                key: [run[:epochs] for run in runs] for key, runs in content["history"].items()
            }

        return change

    for name, epochs in (("sphere-a", 2), ("sphere-b", 4), ("sphere-c", 3)):
        copied(results, "rademacher", name)
        rewrite(f"forward/{name}.json", shortened(epochs))
    copied(results, "rademacher", "sphere-d", strategy="sphere", epochs=EPOCHS + 1)
    found = lines(drawn(results).axes[0])
    assert {*found} == {*LABELS["forward"].values(), "sphere"}
    assert points(found["sphere"])[0] == [1, 2, 3, 4]
    copied(results, "rademacher", "sphere-e", strategy="sphere")
    assert points(lines(drawn(results).axes[0])["sphere"])[0] == [1, 2, 3, 4, 5]


def test_bands_are_percentiles_of_the_runs(results: Path) -> None:
    figure = drawn(results)
    for axes in figure.axes:
        assert len(axes.collections) == len(LABELS["forward"])
        labels = [*lines(axes)]
        for stem, label in LABELS["forward"].items():
            band = axes.collections[labels.index(label)]
            corners = np.asarray(band.get_paths()[0].vertices)
            for x, numbers in zip(
                points(lines(axes)[label])[0],
                zip(*history(results, stem)["val_loss"], strict=True),
                strict=True,
            ):
                deciles = statistics.quantiles(numbers, n=10, method="inclusive")
                heights = corners[corners[:, 0] == x, 1]
                assert (heights.min(), heights.max()) == pytest.approx(
                    (deciles[0], deciles[-1]), rel=1e-12
                )
            assert to_hex(band.get_facecolor()[0]) == look(lines(axes)[label])[0]  # type: ignore[index]


def test_one_run_is_told(results: Path, rewrite: Rewrite) -> None:
    for path in sorted((results / "forward").glob("*.json")):
        rewrite(
            f"forward/{path.name}",
            lambda content: content.update(
                history={name: runs[:1] for name, runs in content["history"].items()}
            ),
        )
    assert drawn(results).texts[1].get_text().endswith("One run.")


def blow_up(content: dict[str, Any]) -> None:
    """The loss of one run grows in the third epoch and is no number from the fourth on."""
    content.update(status="diverged")
    for name, runs in content["history"].items():
        runs[1][2:] = [1e30 if name == "val_loss" else runs[1][2], *[None] * (EPOCHS - 3)]
        if name == "val_accuracy":
            runs[1][3] = 0.098  # what NaN outputs are right about


def test_a_diverged_result_says_when_and_does_not_stretch_the_axes(
    results: Path, rewrite: Rewrite
) -> None:
    rewrite("forward/rademacher-clipNone.json", blow_up)
    figure = drawn(results)
    assert "rademacher, no clip: diverged in epoch 4" in legend(figure)
    highest = max(
        loss
        for stem in LABELS["forward"]
        if stem != "rademacher-clipNone"
        for loss in means(history(results, stem)["val_loss"])
    )
    for axes in figure.axes:
        _, y = points(lines(axes)["rademacher, no clip"])
        assert np.isfinite(y).tolist() == [True, True, True, False, False]
        before = [run[:3] for run in history(results, "rademacher-clipNone")["val_loss"]]
        assert y[:3] == pytest.approx(means(before), rel=1e-12)
        assert axes.get_ylim()[1] == pytest.approx(3 * highest)
        assert len(axes.collections) == len(LABELS["forward"]) - 1
    assert cut_off(figure) == []


def test_without_a_blow_up_all_of_every_line_is_seen(results: Path) -> None:
    for axes in drawn(results, "forward-narrow").axes:
        values = [value for line in axes.get_lines() for value in points(line)[1]]
        assert axes.get_ylim()[0] < min(values) < max(values) < axes.get_ylim()[1] < 2 * max(values)


def test_when_every_result_diverged_there_is_still_a_picture(
    results: Path, rewrite: Rewrite
) -> None:
    for stem in LABELS["forward"]:
        if "epochs3" not in stem:
            rewrite(f"forward/{stem}.json", blow_up)
    (results / "forward" / "gaussian-epochs3.json").unlink()
    figure = drawn(results)
    assert all(text.endswith(": diverged in epoch 4") for text in legend(figure))
    assert figure.axes[0].get_ylim()[1] > 1e29


@pytest.mark.parametrize("name", FORWARD)
def test_no_text_is_cut_off(name: str, results: Path) -> None:
    assert cut_off(drawn(results, name)) == []


def test_the_command_draws_the_suffix_twice_the_same(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in ("backprop", "rademacher"):
        copied(results, stem, f"{stem}-width4", "forward-vgg16", width=4)
    assert {*lines(drawn(results, "forward-vgg16", "-width4").axes[0])} == {
        "back-propagation, step 0.1",
        "rademacher",
    }
    written = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert (
            main(
                ["forward-vgg16", "--suffix=-width4", "--results", str(results), "--out", str(out)]
            )
            == 0
        )
        paths = [out / f"forward-vgg16-width4.{ending}" for ending in ("png", "svg")]
        assert capsys.readouterr().out.splitlines() == [str(path) for path in paths]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert written[0][0].startswith(b"\x89PNG")
    with pytest.raises(PlotError, match=r"forward/rademacher-devicegpu.json"):
        draw("forward", results, tmp_path, device="gpu")


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("forward", "mlp"),
        ("forward-narrow", "narrow"),
        ("forward-vgg", "vgg"),
        ("forward-vgg16", "vgg16"),
    ],
)
def test_missing_results_are_named_with_what_makes_them(
    name: str, network: str, results: Path
) -> None:
    folder, cure = results / name, f"{COMMAND} {network} makes it"
    (folder / "backprop.json").unlink()
    (folder / "backprop-lr0.00046.json").unlink()
    expected = f"expected a result of backprop with the settings of {folder / 'rademacher.json'}, got none: {cure}"
    with pytest.raises(PlotError) as caught:
        drawn(results, name)
    assert str(caught.value) == expected
    (folder / "rademacher.json").unlink()
    with pytest.raises(PlotError) as caught:
        drawn(results, name)
    assert (
        str(caught.value)
        == f"expected the result file {folder / 'rademacher.json'}, got no such file: {cure}"
    )


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no schema": lambda content: content.pop("schema"),
    "no history": lambda content: content.pop("history"),
    "no loss": lambda content: content["history"].pop("val_loss"),
    "no accuracy": lambda content: content["history"].pop("val_accuracy"),
    "no flops": lambda content: content["history"].pop("flops"),
    "unknown strategy": lambda content: content["config"].update(strategy="best"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_result_is_a_sentence(damage: str, results: Path, rewrite: Rewrite) -> None:
    path = rewrite("forward/gaussian-epochs3.json", DAMAGE[damage])
    with pytest.raises(PlotError, match=f"expected .*{'best' if 'unknown' in damage else path}"):
        drawn(results)
