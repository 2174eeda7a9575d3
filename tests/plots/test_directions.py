"""The figures `directions` and `scaling`, both of what the command `directions` measures."""

import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from plots import MEASURED, NAMES, PlotError, directions, forward, scaling, style
from plots.__main__ import main
from tests.plots.conftest import NO_FORM, OTHERS
from tests.plots.edges import cut_off

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]
STRATEGIES = ("rademacher", "activity", *OTHERS)
CURE = "python -m experiments directions makes it"


def drawn(results: Path, name: str) -> Figure:
    with style.house_style():
        return {"directions": directions.figure, "scaling": scaling.figure}[name](results)


def measurement(results: Path, name: str) -> dict[str, Any]:
    return json.loads((results / "directions" / f"{name}.json").read_text())  # type: ignore[no-any-return]


def bars(axes: Axes) -> list[list[tuple[float, float, float]]]:
    """For each set of horizontal bars, their left and right end and height, as far as they are numbers."""
    found = []
    for collection in axes.collections:
        corners = [
            path.vertices.tolist()
            for path in collection.get_paths()
            if np.isfinite(path.vertices).all()
        ]  # type: ignore[union-attr]
        assert all(left[1] == right[1] for left, right in corners)
        found.append([(left[0], right[0], left[1]) for left, right in corners])
    return found


def test_both_figures_have_names() -> None:
    assert {"directions", "scaling"} < set(MEASURED) < set(NAMES)
    assert set(STRATEGIES) == set(directions.LINES) - {"backprop"}


PANELS = {
    "error of the gradient, over training": ("error", None),
    "cosine, over training (bars: random directions)": ("cosine", None),
    "error within a layer, last point (bars: independent entries)": ("layer_error", -1),
    "cosine within a layer, last point": ("layer_cosine", -1),
}
"""Title of each panel of `directions` -> what its markers are, and of which point."""


def test_markers_are_what_was_measured(results: Path) -> None:
    figure, content = drawn(results, "directions"), measurement(results, "strategies")
    assert [axes.get_title("left") for axes in figure.axes] == [*PANELS]
    for axes, (key, point) in zip(figure.axes, PANELS.values(), strict=True):
        assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
        assert len(axes.get_lines()) == len(STRATEGIES)
        places = []
        for line, (name, measured) in zip(
            axes.get_lines(), content["strategies"].items(), strict=True
        ):
            expected = measured[key] if point is None else measured[key][point]
            assert np.asarray(line.get_ydata()).tolist() == expected
            colour, _, marker = directions.LINES[name]
            assert (to_hex(line.get_color()), line.get_marker()) == (to_hex(colour), marker)
            places.append(np.asarray(line.get_xdata()))
        assert np.diff(places, axis=0).min() > 0  # side by side, each group round its number
        assert abs(np.array(places) - np.arange(3)).max() < 0.5
        np.testing.assert_allclose(np.mean(places, axis=0), [0, 1, 2], atol=1e-12)


def test_no_two_strategies_have_the_same_marker_and_colour(results: Path) -> None:
    looks = [
        (to_hex(line.get_color()), line.get_marker())
        for line in drawn(results, "directions").axes[0].get_lines()
    ]
    assert len(set(looks)) == len(STRATEGIES)


def test_bars_are_the_closed_forms(results: Path) -> None:
    content = measurement(results, "strategies")
    errors, cosines, layer_errors, layer_cosines = drawn(results, "directions").axes
    of_strategies = dict(zip(content["strategies"], bars(errors), strict=True))
    places = {
        name: line.get_xdata()
        for name, line in zip(content["strategies"], errors.get_lines(), strict=True)
    }
    for name, found in of_strategies.items():
        expected = content["strategies"][name]["expected_error"] if name not in NO_FORM else []
        assert [height for _, _, height in found] == expected
        assert [(left + right) / 2 for left, right, _ in found] == pytest.approx(
            list(places[name])[: len(found)]
        )
    ((*random,),) = bars(cosines)
    n = 50240 + 4160 + 650
    assert [height for *_, height in random] == pytest.approx([math.sqrt(10 / n)] * 3, rel=1e-12)
    ((*independent,),) = bars(layer_errors)
    expected = [
        (size / share - 1) / 10
        for size, share in zip((50240, 4160, 650), (0.2, 0.3, 0.5), strict=True)
    ]
    assert [height for *_, height in independent] == pytest.approx(expected, rel=1e-12)
    for left, right, _ in (*random, *independent):
        assert right - left > 2 * directions_reach(errors)
    assert bars(layer_cosines) == []


def directions_reach(axes: Axes) -> float:
    """How far the markers of one group are from its middle."""
    return float(max(abs(np.asarray(line.get_xdata())[0]) for line in axes.get_lines()))


def test_ticks_and_heading_of_the_directions(results: Path) -> None:
    figure = drawn(results, "directions")
    errors, cosines, *layers = figure.axes
    for axes in (errors, cosines):
        assert [label.get_text() for label in axes.get_xticklabels()] == [
            "10",
            "100",
            "1600",
        ]  # steps count from 0
        assert axes.get_xlabel() == "training step"
    for axes in layers:
        assert [label.get_text() for label in axes.get_xticklabels()] == [
            "784 x 64",
            "64 x 64",
            "64 x 10",
        ]
        assert axes.get_xlabel() == "layer, from the input up"
    assert all(axes.get_xlim() == (-0.5, 2.5) for axes in figure.axes)
    title, subtitle = (text.get_text() for text in figure.texts)
    assert title == "Forward gradients: measured (markers) beside closed forms (bars)"
    assert subtitle == (
        "MNIST, 784-64-64-10 (n = 55050), trained by back-propagation; estimates from m = 10 directions, mean of 100"
    )
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [name.replace("_", " ") for name in STRATEGIES]
    for handle, name in zip(figure.legends[0].get_lines(), STRATEGIES, strict=True):
        assert (to_hex(handle.get_color()), handle.get_marker()) == (
            to_hex(forward.LINES[name][0]),
            forward.LINES[name][2],
        )


def test_variance_beside_its_closed_form(results: Path) -> None:
    figure, content = drawn(results, "scaling"), measurement(results, "scaling")
    variances = figure.axes[0]
    assert variances.get_title("left") == "E |estimate - g|² / |g|² at the initial weights"
    (bar,) = variances.containers
    data, _, (limits,) = bar.lines  # type: ignore[attr-defined]
    assert data.get_xdata().tolist() == content["n"]
    assert data.get_ydata().tolist() == content["error"]
    assert data.get_linestyle() == "None"
    ends = [[low[1], high[1]] for low, high in limits.get_segments()]
    pairs = zip(content["error"], content["error_limit"], strict=True)
    assert ends == [
        pytest.approx([error - limit, error + limit], rel=1e-12) for error, limit in pairs
    ]
    (closed,) = [line for line in variances.get_lines() if line.get_label() == "closed form, n - 1"]
    assert np.asarray(closed.get_xdata()).tolist() == content["n"]
    assert np.asarray(closed.get_ydata()).tolist() == content["expected_error"]


def test_steps_of_every_run_their_geometric_mean_and_a_fall(results: Path) -> None:
    figure, content = drawn(results, "scaling"), measurement(results, "scaling")
    steps = figure.axes[1]
    assert steps.get_title("left") == "largest stable step size (powers of two are tried)"
    named = {
        str(line.get_label()): line
        for line in steps.get_lines()
        if not str(line.get_label()).startswith("_")
    }
    words = {"backprop": "back-propagation", "forward": "forward gradient"}
    assert [*named] == [
        *(f"{word}: largest stable step" for word in words.values()),
        "falling as 1/n",
    ]
    means = {}
    for rule, word in words.items():
        line = named[f"{word}: largest stable step"]
        means[rule] = [statistics.geometric_mean(runs) for runs in content[rule]]
        assert np.asarray(line.get_xdata()).tolist() == content["n"]
        assert np.asarray(line.get_ydata()).tolist() == pytest.approx(means[rule], rel=1e-12)
        own = [
            np.asarray(each.get_ydata()).tolist()
            for each in steps.get_lines()
            if str(each.get_label()).startswith("_") and each.get_color() == line.get_color()
        ]
        assert own == [list(run) for run in zip(*content[rule], strict=True)]
    falling = [means["forward"][0] * content["n"][0] / n for n in content["n"]]
    assert np.asarray(named["falling as 1/n"].get_ydata()).tolist() == pytest.approx(
        falling, rel=1e-12
    )
    looks = [(to_hex(line.get_color()), line.get_marker()) for line in named.values()]
    assert len(set(looks)) == 3


def test_scales_and_heading_of_the_scaling(results: Path) -> None:
    figure = drawn(results, "scaling")
    for axes in figure.axes:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert axes.get_xlabel() == "number of parameters n (log scale)"
    title, subtitle = (text.get_text() for text in figure.texts)
    assert title == "Forward gradients do not scale with model size"
    assert (
        subtitle
        == "MNIST, 784-w-w-10, w = 16 to 512; one Rademacher direction, no clip, batches of 64; 3 runs"
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "measured variance", "closed form, n - 1", "back-propagation: largest stable step",
        "forward gradient: largest stable step", "falling as 1/n",
    ]  # fmt: skip


def test_a_run_without_a_stable_step_leaves_the_others(results: Path, rewrite: Rewrite) -> None:
    """null where no step size was stable: the other runs' points stay."""

    def unstable(content: dict[str, Any]) -> None:
        content["forward"][0][1] = None
        content["forward"][2] = [None] * 3

    rewrite("directions/scaling.json", unstable)
    figure = drawn(results, "scaling")
    colour = style.COLOURS["weightedk"]
    runs = [
        line
        for line in figure.axes[1].get_lines()
        if line.get_color() == colour and line.get_alpha() is not None
    ]
    shown = np.isfinite(np.array([line.get_ydata() for line in runs]))
    assert shown.tolist() == [[True, True, False], [False, True, False], [True, True, False]]
    assert cut_off(figure) == []


@pytest.mark.parametrize("name", ["directions", "scaling"])
def test_no_text_is_cut_off(name: str, results: Path) -> None:
    assert cut_off(drawn(results, name)) == []


def test_the_command_draws_both_twice_the_same(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert main(["directions", "scaling", "--results", str(results), "--out", str(out)]) == 0
        paths = [
            out / f"{name}.{ending}"
            for name in ("directions", "scaling")
            for ending in ("png", "svg")
        ]
        assert capsys.readouterr().out.splitlines() == [str(path) for path in paths]
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert [content[:4] for content in written[0]] == [b"\x89PNG", b"<?xm"] * 2


Edit = Callable[[dict[str, Any]], Any]
DAMAGED_STRATEGIES: dict[str, tuple[Edit, str]] = {
    "no strategies": (lambda content: content.pop("strategies"), "KeyError('strategies')"),
    "no steps": (lambda content: content.pop("steps"), "KeyError('steps')"),
    "no layers": (lambda content: content.pop("layers"), "KeyError('layers')"),
    "no sizes": (lambda content: content.pop("sizes"), "KeyError('sizes')"),
    "no config": (lambda content: content.pop("config"), "KeyError('config')"),
    "no width": (lambda content: content["config"].pop("width"), "KeyError('width')"),
    "no num_dir": (lambda content: content["config"].pop("num_dir"), "KeyError('num_dir')"),
    "no draws": (lambda content: content["config"].pop("draws"), "KeyError('draws')"),
    "a list": (lambda content: content.update(strategies=[]), "AttributeError("),
    "a strategy gone bad": (lambda content: content["strategies"].update(sign=3), "TypeError("),
    "no shares": (lambda content: content.pop("gradient_shares"), "KeyError('gradient_shares')"),
    "fewer shares": (
        lambda content: content["gradient_shares"].pop(),
        "no size and share of the gradient",
    ),
    "unknown": (
        lambda content: content["strategies"].update(best=content["strategies"]["sign"]),
        "of best",
    ),
    "of a layer": (
        lambda content: content["strategies"]["sign"]["layer_error"][1].pop(),
        "ValueError(",
    ),
    "layers": (
        lambda content: content["strategies"]["sign"]["layer_cosine"].pop(),
        "layer_cosine of sign",
    ),
    "words": (lambda content: content["strategies"]["sign"].update(error=["x"] * 3), "ValueError("),
    **{
        key: (lambda content, key=key: content["strategies"]["sign"][key].pop(), f"{key} of sign")
        for key in ("error", "expected_error", "cosine")
    },
    **{
        f"no {key}": (
            lambda content, key=key: content["strategies"]["sign"].pop(key),
            f"KeyError('{key}')",
        )
        for key in ("error", "expected_error", "cosine", "layer_error", "layer_cosine")
    },
    "fewer sizes": (lambda content: content["sizes"].pop(), ""),
}  # type: ignore[dict-item]
COLUMNS = ("n", "error", "error_limit", "expected_error", "forward", "backprop")
DAMAGED_SCALING: dict[str, tuple[Edit, str]] = {
    **{
        f"no {key}": (lambda content, key=key: content.pop(key), f"KeyError('{key}')")
        for key in (*COLUMNS, "config")
    },
    **{
        f"shorter {key}": (
            lambda content, key=key: content[key].pop(),
            "not as many values as widths",
        )
        for key in COLUMNS[:4]
    },
    **{
        f"shorter {key}": (
            lambda content, key=key: content[key].pop(),
            "no step size for every width and run",
        )
        for key in COLUMNS[4:]
    },
    **{
        f"no {key}": (lambda content, key=key: content["config"].pop(key), f"KeyError('{key}')")
        for key in ("widths", "batch_size", "runs")
    },
    "words": (lambda content: content.update(n=["a"] * 3), "ValueError("),
    "a number": (lambda content: content.update(error=3), "not as many values as widths"),
    "uneven runs": (lambda content: content["forward"][1].pop(), "ValueError("),
    "no runs at all": (lambda content: content.update(forward=[1.0, 1.0, 1.0]), ""),
}  # type: ignore[dict-item]
DAMAGE = {
    **{("directions", "strategies", damage): each for damage, each in DAMAGED_STRATEGIES.items()},
    **{("scaling", "scaling", damage): each for damage, each in DAMAGED_SCALING.items()},
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_a_damaged_measurement_is_a_sentence(
    damage: tuple[str, str, str], results: Path, rewrite: Rewrite
) -> None:
    edit, words = DAMAGE[damage]
    path = rewrite(f"directions/{damage[1]}.json", edit)
    with pytest.raises(
        PlotError, match=f"^expected a measurement in {path}, got .*{re.escape(words)}"
    ) as caught:
        drawn(results, damage[0])
    assert str(caught.value).endswith(f": {CURE}")


@pytest.mark.parametrize(("name", "file"), [("directions", "strategies"), ("scaling", "scaling")])
def test_missing_broken_and_other_files_are_a_sentence(
    name: str, file: str, results: Path, rewrite: Rewrite
) -> None:
    path = rewrite(f"directions/{file}.json", lambda content: content.update(schema=2))
    with pytest.raises(PlotError, match=f"^expected schema 1 in {path}, got 2: {CURE}$"):
        drawn(results, name)
    path.write_text("{")
    with pytest.raises(PlotError, match=f"^expected a JSON result file in {path}, got .*: {CURE}$"):
        drawn(results, name)
    path.unlink()
    with pytest.raises(
        PlotError, match=f"^expected the result file {path}, got no such file: {CURE}$"
    ):
        drawn(results, name)
