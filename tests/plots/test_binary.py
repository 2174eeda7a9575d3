import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plots import BINARY, NAMES, PlotError, binary, draw, style
from plots.__main__ import main
from tests.plots.conftest import BINARY as FOLDERS
from tests.plots.conftest import EPOCHS
from tests.plots.edges import cut_off

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]
TITLES = {
    "binary": "MNIST, binary convolutional network of width 16", "binary-mlp": "MNIST, binary 784-256-256-10",
    "binary-bvgg16": "CIFAR-10, binary VGG16 of width 64",
}  # fmt: skip
BITS = {
    ("float", "sgd"): 32, ("8-bit", "sgd"): 8, ("7-bit", "sgd"): 7, ("6-bit", "sgd"): 6, ("5-bit", "sgd"): 5,
    ("4-bit", "sgd"): 4, ("5-bit-nearest", "sgd"): 5, ("memoryless", "sgd"): 1, ("naive", "sgd"): 1,
    ("bop", "sgd"): 33, ("frozen", "sgd"): 1,
    ("float", "adam"): 96, ("8-bit", "adam"): 72, ("7-bit", "adam"): 71, ("6-bit", "adam"): 70, ("5-bit", "adam"): 69,
    ("4-bit", "adam"): 68, ("5-bit-nearest", "adam"): 69, ("memoryless", "adam"): 65, ("naive", "adam"): 65,
    ("bop", "adam"): 33, ("frozen", "adam"): 1,
}  # fmt: skip
"""Soft weights and optimiser -> own bits, two moments of 32 bits each, Bop's running mean of 32 bits."""


def drawn(results: Path, name: str = "binary", suffix: str = "") -> Figure:
    with style.house_style():
        return binary.figure(name, results, suffix)


def labels(name: str) -> dict[str, str]:
    """Name of a result file -> how its line is labelled."""
    return {
        stem: changes["soft"]
        + ", Adam" * (changes.get("update") == "adam")
        + ", glorot" * stem.endswith("glorot")
        for stem, changes in FOLDERS[name][1].items()
    }


def lines(axes: Axes) -> dict[str, Line2D]:
    """The lines of a panel with a label: without the caps of the error bars."""
    named = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    found = {str(line.get_label()).split(":")[0]: line for line in named}
    assert len(found) == len(named)
    return found


def marks(axes: Axes) -> dict[str, tuple[float, float, float, float]]:
    """Label of each error bar -> bits, error, lower and upper end."""
    found = {}
    for container in axes.containers:
        label = str(container.get_label()).split(":")[0]
        data, _, (bar,) = container.lines  # type: ignore[attr-defined]
        ((_, low), (_, high)) = bar.get_segments()[0]
        found[label] = (
            *(float(numbers[0]) for numbers in data.get_data()),
            float(low),
            float(high),
        )
    return found  # type: ignore[return-value]


def history(results: Path, stem: str, name: str = "binary") -> dict[str, Any]:
    return json.loads((results / name / f"{stem}.json").read_text())["history"]  # type: ignore[no-any-return]


def errors(results: Path, stem: str, name: str = "binary") -> list[list[float]]:
    """Epoch -> test error of every run in %."""
    runs = history(results, stem, name)["val_accuracy"]
    return [[100 * (1 - value) for value in values] for values in zip(*runs, strict=True)]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def look(line: Line2D) -> tuple[str, str, str, str]:
    """Colour, dash, marker, fill; a marker without an inside has no fill."""
    filled = str(line.get_marker()) not in ("+", "x")
    dash = str(line._dash_pattern)  # type: ignore[attr-defined]
    fill = to_hex(line.get_markerfacecolor()) if filled else ""
    return to_hex(line.get_color()), dash, str(line.get_marker()), fill


def copied(results: Path, stem: str, other: str, name: str = "binary", **changes: Any) -> None:
    content = json.loads((results / name / f"{stem}.json").read_text())
    content["config"].update(changes)
    (results / name / f"{other}.json").write_text(json.dumps(content))


def test_every_binary_experiment_has_a_figure() -> None:
    assert tuple(FOLDERS) == BINARY
    assert set(BINARY) < set(NAMES)


@pytest.mark.parametrize(("soft", "update"), BITS)
def test_bits_are_those_of_a_weight_and_of_what_its_optimiser_remembers(
    soft: str, update: str
) -> None:
    assert binary.bits({"soft": soft, "update": update}) == BITS[soft, update]


def test_all_soft_weights_have_bits_and_a_look() -> None:
    assert {soft for soft, _ in BITS} == set(binary.COLOUR) == set(binary.MARKER)


@pytest.mark.parametrize("name", BINARY)
def test_errors_against_the_epoch_and_at_the_end_against_memory(name: str, results: Path) -> None:
    figure = drawn(results, name)
    by_epoch, by_bits = lines(figure.axes[0]), marks(figure.axes[1])
    assert {*by_epoch} == {*by_bits} == {*labels(name).values()}
    last = {}
    for stem, label in labels(name).items():
        expected = [statistics.mean(values) for values in errors(results, stem, name)]
        assert np.asarray(by_epoch[label].get_xdata()).tolist() == [1, 2, 3, 4, 5]
        assert np.asarray(by_epoch[label].get_ydata()).tolist() == pytest.approx(
            expected, rel=1e-12
        )
        bits, error, low, high = by_bits[label]
        config = FOLDERS[name][1][stem]
        assert bits == BITS[config["soft"], config.get("update", "sgd")]
        assert error == pytest.approx(expected[-1], rel=1e-12)
        deciles = statistics.quantiles(errors(results, stem, name)[-1], n=10, method="inclusive")
        assert (low, high) == pytest.approx((deciles[0], deciles[-1]), rel=1e-9)
        last[label] = 100 - expected[-1]
    assert set(legend(figure)) == {f"{label}: {accuracy:.1f} %" for label, accuracy in last.items()}
    assert legend(figure) == [str(line.get_label()) for line in lines(figure.axes[0]).values()]


@pytest.mark.parametrize("name", BINARY)
def test_heading_axes_and_scales(name: str, results: Path) -> None:
    figure = drawn(results, name)
    title, subtitle = (text.get_text() for text in figure.texts)
    assert title == TITLES[name]
    assert subtitle.startswith(
        "white markers: Adam, filled: SGD; dotted: flips by chance or by Bop"
    )
    assert ("Glorot" in subtitle) == (name == "binary-mlp")
    assert "; Mean" not in subtitle
    assert subtitle.endswith("Mean of 3 runs.")
    by_epoch, by_bits = figure.axes
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "log"]
    assert by_epoch.get_title("left") == "error on the test images in % (log scale)"
    assert by_bits.get_title("left") == "error at the end against memory"
    assert by_epoch.get_xlabel() == "epoch"
    assert by_bits.get_xlabel() == "bits kept of each weight, its optimiser included (log)"
    assert all(place == int(place) for place in by_epoch.get_xticks())
    assert cut_off(figure) == []
    assert [label.get_text() for label in by_bits.get_xticklabels()] == [
        "1",
        "5",
        "8",
        "32",
        "65",
        "96",
    ]


@pytest.mark.parametrize("name", BINARY)
def test_no_two_lines_look_alike(name: str, results: Path) -> None:
    looks: dict[tuple[str, ...], list[str]] = {}
    for label, line in lines(drawn(results, name).axes[0]).items():
        looks.setdefault(look(line), []).append(label)
    assert [alike for alike in looks.values() if len(alike) > 1] == []


@pytest.mark.parametrize("soft", ["naive", "frozen"])
def test_markers_without_an_inside_tell_the_optimiser_too(soft: str, results: Path) -> None:
    copied(results, f"{soft}-sgd", f"{soft}-adam", soft=soft, update="adam", lr=0.005)
    found = lines(drawn(results).axes[0])
    assert look(found[soft]) != look(found[f"{soft}, Adam"])


def test_white_is_adam_dotted_no_soft_weights_dashed_glorot(results: Path) -> None:
    found = lines(drawn(results).axes[0])
    white = {
        label for label, line in found.items() if to_hex(line.get_markerfacecolor()) == "#ffffff"
    }
    assert white == {"float, Adam", "5-bit, Adam"}
    solid = look(found["float"])[1]
    assert {label for label, line in found.items() if look(line)[1] != solid} == {
        "memoryless",
        "bop",
        "frozen",
    }
    mlp = lines(drawn(results, "binary-mlp").axes[0])
    assert {label for label, line in mlp.items() if line.is_dashed()} == {
        label for label in mlp if label.endswith("glorot")
    }
    assert [label for label in found if label.endswith("Adam")] == [*found][-2:]


def test_both_panels_show_a_result_alike(results: Path) -> None:
    figure = drawn(results)
    by_bits = {
        str(each.get_label()).split(":")[0]: each.lines[0] for each in figure.axes[1].containers
    }  # type: ignore[attr-defined]
    for label, line in lines(figure.axes[0]).items():
        colour, _, marker, fill = look(line)
        other_colour, _, other_marker, other_fill = look(by_bits[label])
        assert (colour, marker, fill) == (other_colour, other_marker, other_fill)


@pytest.mark.parametrize(
    "other",
    [
        {"width": 4},
        {"batch_size": 32},
        {"runs": 1},
        {"seed": 1},
        {"dtype": "float64"},
        {"device": "gpu"},
        {"epochs": 4},
    ],
)
def test_results_of_other_settings_are_not_drawn(other: dict[str, Any], results: Path) -> None:
    copied(results, "5-bit-sgd", "x", soft="5-bit", init="glorot", **other)
    copied(results, "5-bit-sgd", "4-bit-sgd", soft="4-bit")
    assert {*lines(drawn(results).axes[0])} == {*labels("binary").values(), "4-bit"}


def test_the_reference_is_float_with_sgd_else_with_adam(results: Path) -> None:
    for stem in ("float-sgd", "5-bit-adam"):
        copied(results, stem, f"{stem}-width4", width=4)
    assert [*lines(drawn(results, suffix="-width4").axes[0])] == ["float", "5-bit, Adam"]
    copied(results, "float-adam", "float-adam-width8", width=8)
    figure = drawn(results, suffix="-width8")
    assert [*lines(figure.axes[0])] == ["float, Adam"]
    assert figure.texts[0].get_text().endswith("width 8")


def test_bands_are_percentiles_of_the_runs(results: Path) -> None:
    axes = drawn(results).axes[0]
    assert len(axes.collections) == len(labels("binary"))
    for stem, label in labels("binary").items():
        band = axes.collections[[*lines(axes)].index(label)]
        corners = np.asarray(band.get_paths()[0].vertices)
        for epoch, values in enumerate(errors(results, stem), start=1):
            deciles = statistics.quantiles(values, n=10, method="inclusive")
            heights = corners[corners[:, 0] == epoch, 1]
            assert (heights.min(), heights.max()) == pytest.approx(
                (deciles[0], deciles[-1]), rel=1e-9
            )


def test_one_run_is_told(results: Path, rewrite: Rewrite) -> None:
    for stem in labels("binary"):
        rewrite(
            f"binary/{stem}.json",
            lambda content: content.update(
                history={name: runs[:1] for name, runs in content["history"].items()}
            ),
        )
    figure = drawn(results)
    assert figure.texts[1].get_text().endswith("One run.")
    assert all(low == error == high for _, error, low, high in marks(figure.axes[1]).values())


def test_a_diverged_result_says_when_and_has_no_end(results: Path, rewrite: Rewrite) -> None:
    def blow_up(content: dict[str, Any]) -> None:
        content.update(status="diverged")
        for runs in content["history"].values():
            runs[1][2:] = [None] * (EPOCHS - 2)

    rewrite("binary/naive-sgd.json", blow_up)
    figure = drawn(results)
    assert "naive: diverged in epoch 3" in legend(figure)
    errors_of = np.asarray(lines(figure.axes[0])["naive"].get_ydata())
    assert np.isfinite(errors_of).tolist() == [True, True, False, False, False]
    assert {*marks(figure.axes[1])} == {*labels("binary").values()} - {"naive"}
    assert len(figure.axes[0].collections) == len(labels("binary")) - 1
    assert figure.axes[0].get_ylim()[1] < 200
    assert cut_off(figure) == []


def test_words_tell_every_option_apart(results: Path) -> None:
    copied(results, "8-bit-sgd", "x", update="adam", lr=0.005, init="glorot")
    assert "8-bit, Adam, glorot" in lines(drawn(results).axes[0])


@pytest.mark.parametrize(
    "other",
    [
        {"lr": 0.01},
        {"update": "adam", "init": "glorot"},
        {"strategy": "sphere", "num_dir": 10, "clip": 1.0},
    ],
)
def test_rows_of_the_specification_have_no_line(other: dict[str, Any], results: Path) -> None:
    """Other step sizes, and forward gradients: they are told in tables."""
    copied(results, "float-sgd", "x", **other)
    assert {*lines(drawn(results).axes[0])} == {*labels("binary").values()}


def test_the_command_draws_the_suffix_twice_the_same(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(results, "float-sgd", "float-sgd-width4", "binary-mlp", width=4)
    written = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert (
            main(["binary-mlp", "--suffix=-width4", "--results", str(results), "--out", str(out)])
            == 0
        )
        paths = [out / f"binary-mlp-width4.{ending}" for ending in ("png", "svg")]
        assert capsys.readouterr().out.splitlines() == [str(path) for path in paths]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert written[0][0].startswith(b"\x89PNG")
    with pytest.raises(PlotError, match=r"binary/float-sgd-devicegpu.json"):
        draw("binary", results, tmp_path, device="gpu")


@pytest.mark.parametrize(
    ("name", "network"), [("binary", "bcnn"), ("binary-mlp", "mlp"), ("binary-bvgg16", "bvgg16")]
)
def test_a_missing_reference_is_named_with_what_makes_it(
    name: str, network: str, results: Path
) -> None:
    for update in ("sgd", "adam"):
        (results / name / f"float-{update}.json").unlink(missing_ok=True)
    with pytest.raises(PlotError) as caught:
        drawn(results, name)
    cure = f"python -m experiments binary --network {network} makes it"
    expected = (
        f"expected the result file {results / name / 'float-sgd.json'}, got no such file: {cure}"
    )
    assert str(caught.value) == expected


def test_unknown_soft_weights_are_a_sentence(results: Path, rewrite: Rewrite) -> None:
    rewrite("binary/5-bit-sgd.json", lambda content: content["config"].update(soft="3-bit"))
    with pytest.raises(
        PlotError, match=r"^expected soft weights among float, 8-bit, .*, frozen, got '3-bit'$"
    ):
        drawn(results)


def test_a_damaged_result_is_a_sentence(results: Path, rewrite: Rewrite) -> None:
    path = rewrite("binary/5-bit-sgd.json", lambda content: content["history"].pop("val_accuracy"))
    with pytest.raises(PlotError, match=f"expected val_accuracy in the history of {path}, got"):
        drawn(results)
    path.write_text("{")
    with pytest.raises(PlotError, match=f"expected a JSON result file in {path}, got"):
        drawn(results)
