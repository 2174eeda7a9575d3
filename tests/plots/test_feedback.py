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

from plots import COMBINED, FEEDBACK, NAMES, PlotError, draw, feedback, feedback_combine, style
from plots.__main__ import main
from tests.plots.conftest import EPOCHS, HOOKS, RULES
from tests.plots.conftest import FEEDBACK as FOLDERS

Rewrite = Callable[[str, Callable[[dict[str, Any]], Any]], Path]


def drawn(
    results: Path, name: str = "feedback-mnist", suffix: str = "", combine: bool = False
) -> Figure:
    with style.house_style():
        figure = (feedback_combine if combine else feedback).figure(name, results, suffix)
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def curves(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()).split(":")[0]: (
            np.asarray(line.get_xdata()).tolist(),
            np.asarray(line.get_ydata()).tolist(),
        )
        for line in axes.get_lines()
    }


def history(results: Path, scheme: str, name: str = "feedback-mnist") -> dict[str, Any]:
    return json.loads((results / name / f"{scheme}.json").read_text())["history"]  # type: ignore[no-any-return]


def means(runs: list[list[float]]) -> list[float]:
    return [statistics.mean(values) for values in zip(*runs, strict=True)]


def test_every_feedback_experiment_has_two_figures() -> None:
    assert FEEDBACK == FOLDERS
    assert tuple(f"{name}-combine" for name in FOLDERS) == COMBINED
    assert {*FEEDBACK, *COMBINED} < set(NAMES)


@pytest.mark.parametrize("name", FEEDBACK)
def test_errors_of_all_rules_and_the_angles_of_every_hidden_layer(name: str, results: Path) -> None:
    figure = drawn(results, name)
    errors, *angles = figure.axes
    hooks = HOOKS[name.split("-")[1]]
    assert len(angles) == len(hooks)
    lines = curves(errors)
    assert set(lines) == set(RULES)
    assert errors.get_yscale() == "log"
    for scheme, (x, y) in lines.items():
        assert x == [1, 2, 3, 4, 5]
        expected = [
            100 * (1 - mean) for mean in means(history(results, scheme, name)["val_accuracy"])
        ]
        assert y == pytest.approx(expected, rel=1e-12)
    for number, (axes, hook) in enumerate(zip(angles, hooks, strict=True), start=1):
        assert axes.get_title(loc="left") == f"angle, hidden layer {number}"
        floor, ceiling = axes.get_ylim()
        assert floor == 0
        assert ceiling > 90
        right_angle, *measured = axes.get_lines()
        assert np.unique(right_angle.get_ydata()).tolist() == [90]
        schemes = [scheme for scheme in lines if scheme not in ("bp", "shallow")]
        assert len(measured) == len(schemes)
        for scheme, line in zip(schemes, measured, strict=True):
            angle = np.asarray(line.get_ydata())
            first = scheme == "fdfa"
            assert np.isnan(angle).tolist() == [first, *[False] * (EPOCHS - 1)]
            runs = [
                run[first:] for run in history(results, scheme, name)[f"alignment_angle/{hook}"]
            ]
            assert angle[first:] == pytest.approx(means(runs), rel=1e-12)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        f"{scheme}: {100 * means(history(results, scheme, name)['val_accuracy'])[-1]:.1f} %"
        for scheme in lines
    ]


def test_rules_differ_by_colour_and_dash_in_all_panels(results: Path) -> None:
    figure = drawn(results)

    def looks(axes: Axes, skip: int) -> list[str]:
        return [
            f"{to_hex(line.get_color())} {line._dash_pattern} {line.get_marker()}"  # type: ignore[attr-defined]
            for line in axes.get_lines()[skip:]
        ]

    errors, *angles = [looks(axes, number > 0) for number, axes in enumerate(figure.axes)]
    assert len(set(errors)) == len(RULES)
    schemes = [*curves(figure.axes[0])]
    expected = [
        look
        for scheme, look in zip(schemes, errors, strict=True)
        if scheme not in ("bp", "shallow")
    ]
    assert angles == [expected] * 4


def test_the_combination_study_is_drawn_against_epoch_and_compute(results: Path) -> None:
    figure = drawn(results, combine=True)
    epochs, compute = (curves(axes) for axes in figure.axes)
    labels = {
        scheme: f"{rule}, {words}"
        for rule in ("bp", "dfa", "dkp")
        for scheme, words in (
            (rule, "exact"),
            (f"{rule}-topk-row-ratio0.125", "topk + row memory, 12.5 %"),
        )
    }
    assert [*epochs] == [*compute] == [*labels.values()]
    for scheme, label in labels.items():
        own = history(results, scheme)
        assert epochs[label][0] == [1, 2, 3, 4, 5]
        assert (
            epochs[label][1]
            == compute[label][1]
            == pytest.approx(means(own["val_loss"]), rel=1e-12)
        )
        flops = np.cumsum(means(own["flops"])) / 4  # 4: an exact epoch of back-propagation
        assert compute[label][0] == pytest.approx(flops.tolist(), rel=1e-12)
    assert compute["bp, exact"][0] == [1, 2, 3, 4, 5]
    looks = [(to_hex(line.get_color()), line.is_dashed()) for line in figure.axes[0].get_lines()]
    assert len(set(looks)) == 6
    assert [dashed for _, dashed in looks] == [False, True] * 3
    assert len({line.get_marker() for line in figure.axes[0].get_lines()}) == 6


def test_bands_are_percentiles_of_the_runs(results: Path, rewrite: Rewrite) -> None:
    for figure, scheme, values in (
        (drawn(results), "bp", "val_accuracy"),
        (drawn(results, combine=True), "bp", "val_loss"),
    ):
        assert any(
            "Mean of 3 runs, band: 10th to 90th percentile." in text.get_text()
            for text in figure.texts
        )
        corners = np.asarray(figure.axes[0].collections[0].get_paths()[0].vertices)
        for epoch, numbers in enumerate(
            zip(*history(results, scheme)[values], strict=True), start=1
        ):
            shown = [100 * (1 - n) for n in numbers] if values == "val_accuracy" else numbers
            deciles = statistics.quantiles(shown, n=10, method="inclusive")
            heights = corners[corners[:, 0] == epoch, 1]
            assert (heights.min(), heights.max()) == pytest.approx(
                (deciles[0], deciles[-1]), rel=1e-12
            )


def test_one_run_is_told(results: Path, rewrite: Rewrite) -> None:
    def first_run(content: dict[str, Any]) -> None:
        content["history"] = {name: runs[:1] for name, runs in content["history"].items()}

    for path in sorted((results / "feedback-mnist").glob("*.json")):
        rewrite(f"feedback-mnist/{path.name}", first_run)
    for figure in (drawn(results), drawn(results, combine=True)):
        assert any("One run." in text.get_text() for text in figure.texts)


def test_a_diverged_rule_says_so_and_has_no_band(results: Path, rewrite: Rewrite) -> None:
    def blow_up(content: dict[str, Any]) -> None:
        content.update(status="diverged")
        for runs in content["history"].values():
            runs[1][2:] = [None] * (EPOCHS - 2)

    rewrite("feedback-mnist/dkp.json", blow_up)
    figure, combined = drawn(results), drawn(results, combine=True)
    assert np.isfinite(curves(figure.axes[0])["dkp (diverged)"][1]).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert np.isfinite(curves(combined.axes[0])["dkp, exact (diverged)"][1]).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert len(figure.axes[0].collections) == len(RULES) - 1
    assert len(combined.axes[0].collections) == 5


def test_the_suffix_names_what_was_trained_off_the_defaults(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results / "feedback-mnist"
    for scheme in ("bp", "dfa", "dkp-topk-row-ratio0.125"):
        (folder / f"{scheme}-epochs2-runs1.json").write_bytes(
            (folder / f"{scheme}.json").read_bytes()
        )
    assert set(curves(drawn(results).axes[0])) == set(RULES)
    assert [*curves(drawn(results, suffix="-epochs2-runs1").axes[0])] == ["bp", "dfa"]
    study = curves(drawn(results, suffix="-epochs2-runs1", combine=True).axes[0])
    assert [*study] == ["bp, exact", "dfa, exact", "dkp, topk + row memory, 12.5 %"]
    out = tmp_path / "figures"
    assert (
        main(
            [
                "feedback-mnist-combine",
                "--suffix=-epochs2-runs1",
                "--results",
                str(results),
                "--out",
                str(out),
            ]
        )
        == 0
    )
    expected = [
        str(out / f"feedback-mnist-combine-epochs2-runs1.{ending}") for ending in ("png", "svg")
    ]
    assert capsys.readouterr().out.splitlines() == expected
    with pytest.raises(PlotError, match=r"feedback-cifar/bp-devicegpu.json"):
        draw("feedback-cifar", results, out, device="gpu")


def test_other_initial_values_of_b_have_a_line_of_their_own(results: Path) -> None:
    folder = results / "feedback-mnist"
    (folder / "dkp-zeros.json").write_bytes((folder / "dkp.json").read_bytes())
    assert [*curves(drawn(results).axes[0])][-1] == "dkp-zeros"
    assert len(curves(drawn(results, combine=True).axes[0])) == 6


def test_missing_and_damaged_results_are_named_with_what_makes_them(results: Path) -> None:
    (results / "feedback-cifar-full" / "bp.json").unlink()
    cure = "got no such file: python -m experiments feedback --data cifar --full makes it"
    for combine in (False, True):
        with pytest.raises(PlotError, match=f"feedback-cifar-full/bp.json, {cure}"):
            drawn(results, "feedback-cifar-full", combine=combine)
    (results / "feedback-alexnet" / "kp.json").write_text("{")
    with pytest.raises(
        PlotError, match=r"expected a JSON result file in .*feedback-alexnet/kp.json, got "
    ):
        drawn(results, "feedback-alexnet")
    path = results / "feedback-mnist" / "dkp.json"
    content = json.loads(path.read_text())
    del content["history"]["val_accuracy"]
    path.write_text(json.dumps(content))
    with pytest.raises(
        PlotError, match=r"expected val_accuracy in the history of .*feedback-mnist/dkp.json, got "
    ):
        drawn(results)
