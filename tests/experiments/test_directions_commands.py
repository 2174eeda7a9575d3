"""`directions` as a user meets it, and how it measures: strategies over training, step sizes over network sizes."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aopnp import Dense, Streams
from aopnp.data.batches import epoch_batches
from aopnp.training import backprop
from aopnp.training.directions import DIRECTIONS, Measured, Rademacher
from aopnp.training.rules import ForwardGradient
from experiments.config import UsageError
from experiments.forward import diagnose, directions, scaling
from experiments.forward.networks import mlp
from experiments.measured import measured
from experiments.problem import Data
from experiments.training import load
from tests.experiments.forward import made_up
from tests.experiments.small import Ended, files

Command = Callable[..., Ended]
WORDS = ["--width", 4, "--widths", 6, 4, 6, "--draws", 3, "--points", 3, 1, 3, "--num-dir", 2]
N, SIZES = 784 * 4 + 4 + 4 * 4 + 4 + 4 * 10 + 10, [784 * 4 + 4, 4 * 4 + 4, 4 * 10 + 10]
RESULTS = ["directions", "directions/scaling.json", "directions/strategies.json"]
CONFIG = {
    "strategies": {
        "width": 4,
        "num_dir": 2,
        "points": [1, 3],
        "draws": 3,
        "batch_size": 64,
        "seed": 0,
    },
    "scaling": {"widths": [4, 6], "runs": 3, "batch_size": 64, "seed": 0},
}
FORMS: dict[str, Callable[[int, int], float]] = {
    "gaussian": lambda n, m: (n + 1) / m,
    "rademacher": lambda n, m: (n - 1) / m,
    "sphere": lambda n, m: (n - 1) / m,
    "frame": lambda n, m: n / m - 1,
    "projection": lambda n, m: 1 - m / n,
}
"""Strategy -> its error with m directions in n dimensions, whatever the gradient."""
NO_FORM = ("sign", "orthogonal")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Made-up pictures, of which a short epoch is one batch; few estimates."""
    made_up(monkeypatch)
    monkeypatch.chdir(tmp_path)  # where the figures go
    monkeypatch.setattr(scaling, "DRAWS", 20)


@pytest.fixture
def data() -> Data:
    return load("forward", None, 64, "float32")


def contents(out: Path) -> dict[str, dict[str, Any]]:
    return {name: json.loads((out / "directions" / f"{name}.json").read_text()) for name in CONFIG}


OPTIONS = {
    "width": "(64)", "num-dir": "(10)", "draws": "(100)", "points": "([9, 99, 399, 1599])",
    "widths": "([16, 32, 64, 128, 256, 512])", "seed": "(0)",
    "data-dir": "($AOPNP_DATA_DIR, else the user's cache directory)", "out": "(results)", "figures": "(figures)",
    "force": "measure again although a result exists",
}  # fmt: skip


def test_help_lists_every_option_with_its_default(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    ended = command("directions", "--help")
    assert (ended.code, ended.err) == (0, "")
    listed = {entry.split()[0]: " ".join(entry.split()) for entry in ended.out.split("\n  --")[1:]}
    assert set(listed) == set(OPTIONS)
    for option, default_words in OPTIONS.items():
        assert listed[option].endswith(default_words), listed[option]


def test_the_command_measures_writes_and_draws_and_then_only_draws(
    command: Command, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = command("directions", *WORDS)
    assert (ended.code, ended.err) == (0, "")
    figures = [
        f"figures/{name}.{ending}"
        for name in ("directions", "scaling")
        for ending in ("png", "svg")
    ]
    assert ended.out.splitlines() == figures
    assert files(Path("figures")) == sorted(Path(path).name for path in figures)
    assert files(out) == RESULTS
    found = contents(out)
    for name, content in found.items():
        assert (content["schema"], content["config"]) == (
            1,
            {"experiment": "directions", **CONFIG[name]},
        )
        assert content["seconds"] > 0
        assert content["environment"]["device"] == "cpu"
    of_strategies, of_sizes = found.values()
    assert of_strategies["steps"] == [1, 3]
    assert of_strategies["layers"] == ["784 x 4", "4 x 4", "4 x 10"]
    assert of_strategies["sizes"] == SIZES
    np.testing.assert_allclose(np.sum(of_strategies["gradient_shares"], axis=1), [1, 1])
    assert [*of_strategies["strategies"]] == [*DIRECTIONS]
    for one in of_strategies["strategies"].values():
        assert {key: np.shape(values) for key, values in one.items()} == {
            **dict.fromkeys(("error", "error_limit", "expected_error", "cosine"), (2,)),
            **dict.fromkeys(("layer_error", "layer_cosine"), (2, 3)),
        }
    assert of_sizes["widths"] == [4, 6]
    assert of_sizes["n"] == [N, 784 * 6 + 6 + 6 * 6 + 6 + 6 * 10 + 10]
    assert all(len(of_sizes[key]) == 2 for key in ("error", "error_limit", "expected_error"))
    assert np.shape(of_sizes["forward"]) == np.shape(of_sizes["backprop"]) == (2, 3)
    for name in ("diagnose", "scaling"):
        monkeypatch.setattr(directions, name, lambda *_, **__: pytest.fail("measured again"))
    again = command("directions", *WORDS)
    assert (again.code, again.out) == (0, ended.out)
    assert contents(out) == found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each measurement as it is made; nothing is measured, and no figure drawn."""
    seen: list[str] = []

    def measurement(name: str) -> Callable[..., dict[str, Any]]:
        return lambda data, **options: seen.append(name) or {"number": len(seen)}

    for name in ("diagnose", "scaling"):
        monkeypatch.setattr(directions, name, measurement(name))
    monkeypatch.setattr(directions, "draw", lambda name, results, figures: [figures / name])
    return seen


def test_force_measures_again(command: Command, out: Path, counted: list[str]) -> None:
    assert command("directions", *WORDS).code == 0
    assert counted == ["diagnose", "scaling"]
    assert command("directions", *WORDS, "--draws", 4, "--seed", 2, "--force").code == 0
    assert counted == ["diagnose", "scaling"] * 2
    assert [content["number"] for content in contents(out).values()] == [3, 4]
    assert contents(out)["scaling"]["config"]["seed"] == 2
    assert files(out) == RESULTS


def test_results_of_other_options_and_damaged_files_are_refused(
    command: Command, out: Path, counted: list[str]
) -> None:
    command("directions", *WORDS)
    cure = "move it away, choose another --out, or measure again with --force"
    strategies, sizes = (out / "directions" / f"{name}.json" for name in CONFIG)
    before = strategies.read_text(), sizes.read_text()
    for more, path in (
        (["--draws", 4], strategies), (["--points", 2], strategies), (["--num-dir", 3], strategies),
        (["--width", 5], strategies), (["--seed", 1], strategies), (["--widths", 4], sizes),
    ):  # fmt: skip
        expected = f"expected the result of these options in {path}, got one of others; {cure}"
        assert command("directions", *WORDS, *more).refusal("directions") == expected
    assert (strategies.read_text(), sizes.read_text()) == before
    for damaged in ("", "{", "\x00"):
        sizes.write_text(damaged)
        sentence = command("directions", *WORDS).refusal("directions")
        assert sentence.startswith(f"expected a result file in JSON, got {sizes}: ")
        assert sentence.endswith(f"; {cure}")
        assert sizes.read_text() == damaged
    for other in ([1], {}, {**json.loads(before[1]), "schema": 2}):
        sizes.write_text(json.dumps(other))
        assert "got one of others" in command("directions", *WORDS).refusal("directions")
    assert counted == ["diagnose", "scaling"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--width 0", "expected --width of at least 1, got 0"),
        ("--widths 4 0 6", "expected --widths of at least 1, got 0"),
        (
            "--width 1 --num-dir 500",
            "expected room among the n = 807 parameters for the directions of window + 1 steps, got "
            "window = 1 and num_dir = 500; lower one of them",
        ),
        ("--num-dir 0", "expected --num-dir of at least 1, got 0"),
        ("--draws 1", "expected --draws of at least 2, got 1"),
        ("--points 4 -1", "expected --points of at least 0, got -1"),
        ("--seed -1", "expected --seed of at least 0, got -1"),
    ],
)
def test_wrong_options_are_one_sentence(
    words: str, sentence: str, command: Command, tmp_path: Path
) -> None:
    assert command("directions", *words.split()).refusal("directions") == sentence
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said_before_measuring(
    command: Command, out: Path, counted: list[str], tmp_path: Path
) -> None:
    out.write_text("a file")
    sentence = command("directions", *WORDS).refusal("directions")
    assert sentence.startswith("expected an output folder that can be written, got ")
    assert sentence.endswith("; choose another --out")
    assert counted == []
    assert files(tmp_path) == ["results"]
    assert out.read_text() == "a file"


def test_a_measurement_that_breaks_off_leaves_nothing_and_the_old_result(tmp_path: Path) -> None:
    path, config = tmp_path / "a" / "b.json", {"experiment": "x"}

    def breaks_off() -> dict[str, Any]:
        assert files(tmp_path) in (["a"], ["a", "a/b.json"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(path, config, breaks_off, force=False)
    assert files(tmp_path) == ["a"]
    content = measured(path, config, lambda: {"value": 3}, force=False)
    assert (content["value"], files(tmp_path)) == (3, ["a", "a/b.json"])
    assert json.loads(path.read_text()) == content
    with pytest.raises(KeyboardInterrupt):
        measured(path, config, breaks_off, force=True)
    assert files(tmp_path) == ["a", "a/b.json"]
    assert measured(path, config, breaks_off, force=False) == content


def test_a_result_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "b.json").mkdir()
    with pytest.raises(
        UsageError,
        match=r"expected a result file in JSON, got .*b.json: .*measure again with --force",
    ):
        measured(tmp_path / "b.json", {}, lambda: {}, force=False)


def test_batches_go_on_epoch_after_epoch(data: Data) -> None:
    streams = Streams(3)
    found = [rows[0] for rows in diagnose._batches(data, 50, streams, 5)]
    epochs = [list(epoch_batches(streams, epoch, 110, 50, np)) for epoch in (1, 2, 3)]
    expected = [batch[0] for batches in epochs for batch in batches][:5]
    np.testing.assert_array_equal(found, expected)
    first, second = ({*np.concatenate(found[i : i + 2]).tolist()} for i in (0, 2))
    assert len(first) == len(second) == 100
    assert not np.array_equal(found[0], found[2])


def gradients_by_hand(network: Any, x: Any, target: Any) -> list[tuple[Any, Any]]:
    """Gradients of the cross-entropy in the weights and biases of every layer, in float64."""
    layers = [layer for layer in network.walk() if isinstance(layer, Dense)]
    weights = [layer.weight.value[0].astype(float) for layer in layers]
    inputs = [x[0].astype(float)]
    for layer, weight in zip(layers[:-1], weights[:-1], strict=True):
        inputs.append(np.maximum(inputs[-1] @ weight + layer.bias.value[0].reshape(1, -1), 0))
    logits = inputs[-1] @ weights[-1] + layers[-1].bias.value[0].reshape(1, -1)
    p = np.exp(logits - logits.max(1, keepdims=True))
    delta = (p / p.sum(1, keepdims=True) - np.eye(10)[target[0]]) / len(logits)
    found = []
    for i in (2, 1, 0):
        found.append((inputs[i].T @ delta, delta.sum(0)))
        delta = (delta @ weights[i].T) * (inputs[i] > 0)
    return found[::-1]


def test_points_are_steps_of_plain_back_propagation_and_shares_those_of_its_gradient(
    data: Data,
) -> None:
    streams, network, own = Streams(1), mlp(4), mlp(4)
    for each in (network, own):
        each.initialise(streams, np.float32)
    steps = list(diagnose._batches(data, 20, streams, 4))
    seen = []
    for batch in diagnose._trained(network, data, (1, 3), 20, 2, streams):
        for rows in steps[:2] if not seen else steps[2:4]:
            x, target = data.train[0].take(rows, 0), data.train[1].take(rows, 0)
            gradients = gradients_by_hand(own, x, target)
            if rows is steps[batch.step.index]:
                break
            move(own, gradients)
        seen.append(batch.step.index)
        np.testing.assert_array_equal(batch.x, x)
        np.testing.assert_array_equal(batch.target, target)
        for mine, theirs in zip(own.parameters(), network.parameters(), strict=True):
            np.testing.assert_allclose(mine.value, theirs.value, atol=1e-6)
        squares = [(weight**2).sum() + (bias**2).sum() for weight, bias in gradients]
        shares = diagnose._shares(network, batch)
        np.testing.assert_allclose(shares, np.array(squares) / sum(squares), rtol=1e-4)
        assert sum(shares) == pytest.approx(1)
        move(own, gradients)
    assert seen == [1, 3]


def move(network: Any, gradients: list[tuple[Any, Any]]) -> None:
    layers = [layer for layer in network.walk() if isinstance(layer, Dense)]
    for layer, (weight, bias) in zip(layers, gradients, strict=True):
        layer.weight.value[0] -= np.float32(0.1) * weight.astype(np.float32)
        layer.bias.value[0] -= np.float32(0.1) * bias.reshape(layer.bias.value[0].shape).astype(
            np.float32
        )


def test_strategies_run_along_for_nine_steps_before_a_point(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[int, Any]] = []

    def noted(strategy: Any, trace: Any, state: Any) -> tuple[Any, None]:
        ran.append((trace.step.index, state))
        assert trace.num_dir == 5
        return trace.step.index, None

    monkeypatch.setattr(diagnose, "estimate_gradient", noted)
    network, streams = mlp(2), Streams()
    network.initialise(streams, np.float32)
    states = [
        batch.states for batch in diagnose._trained(network, data, (12, 14, 30), 20, 5, streams)
    ]
    assert states == [dict.fromkeys(DIRECTIONS, last) for last in (11, 13, 29)]
    indices = [*range(3, 14), *range(21, 30)]
    assert [index for index, _ in ran] == [index for index in indices for _ in DIRECTIONS]
    of_one = [state for _, state in ran[:: len(DIRECTIONS)]]
    assert of_one == [None, *indices[:-1]]  # what a strategy remembers, it is handed again


def test_numbers_of_a_point_are_means_limits_and_root_mean_squares(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def known(
        strategy: Any, network: Any, loss: Any, x: Any, target: Any, draws: int, **options: Any
    ) -> Measured:
        seen.append((type(strategy), draws, options["num_dir"], options["step"].index, x.shape))
        one = np.array([[1.0], [5.0], [3.0], [7.0]])
        by_layer = np.array([[[1.0], [2.0], [3.0]], [[3.0], [4.0], [5.0]]])
        expected = np.array([3.5]) if isinstance(strategy, Rademacher) else None
        return Measured(one, one / 10, by_layer, by_layer / 10, expected)

    monkeypatch.setattr(diagnose, "measure", known)
    found = diagnose.diagnose(data, 2, 5, 4, [0, 2], 20, 0)
    assert seen == [
        (kind, 4, 5, point, (1, 20, 784)) for point in (0, 2) for kind in DIRECTIONS.values()
    ]
    assert found["steps"] == [0, 2]
    for name, one in found["strategies"].items():
        assert one["error"] == [4.0, 4.0]
        assert one["error_limit"] == pytest.approx([2 * math.sqrt(5) / 2] * 2)
        assert one["cosine"] == pytest.approx([math.sqrt(0.21)] * 2)
        assert one["layer_error"] == [[2.0, 3.0, 4.0]] * 2
        np.testing.assert_allclose(one["layer_cosine"], [np.sqrt([0.05, 0.1, 0.17])] * 2)
        assert one["expected_error"] == ([3.5] * 2 if name == "rademacher" else [None] * 2)


def test_closed_forms_and_what_is_measured_beside_them(data: Data) -> None:
    found = diagnose.diagnose(data, 4, 3, 60, [1], 64, 0)["strategies"]
    for name, one in found.items():
        ((expected,), (error,), (limit,)) = (
            one[key] for key in ("expected_error", "error", "error_limit")
        )
        assert (expected is None) == (name in NO_FORM), name
        if name in FORMS:
            assert expected == pytest.approx(FORMS[name](N, 3)), name
            assert abs(error - expected) < 1.5 * limit, name  # three standard errors
    ((expected,), (error,), (limit,)) = (
        found["rademacher"][key] for key in ("expected_error", "error", "error_limit")
    )
    assert abs(error - expected) < limit < 0.2 * expected


def stable(monkeypatch: pytest.MonkeyPatch, losses: Any, rule: str = "forward") -> float | None:
    """The largest stable of the step sizes 1, 2, 4 ... where training made these losses [epochs, step sizes]."""
    losses = np.asarray(losses, dtype=float)
    monkeypatch.setitem(scaling.RATES, rule, 2.0 ** np.arange(losses.shape[1]))
    monkeypatch.setattr(scaling, "fit", lambda *_, **__: {"train_loss": losses})
    return scaling.largest_stable((None, None), rule, 2, 0, 64, 0)  # type: ignore[arg-type]


GUESS = math.log(10)
NAN = math.nan
LAST: dict[str, tuple[list[float], float | None]] = {
    "all stable": ([2.0, 1.0, 0.5, 1.0], 8.0),
    "the best is the last": ([2.0, 1.0, 0.5, 0.4], 8.0),
    "none stable": ([NAN, 5.0, GUESS, GUESS], None),
    "no numbers above": ([2.0, 1.0, NAN, NAN], 2.0),
    "no numbers at all": ([NAN, NAN, NAN, NAN], None),
    "infinite above": ([2.0, 1.0, 1.5, math.inf], 4.0),
    "dead units above": ([2.0, 1.0, GUESS, GUESS], 2.0),
    "dead units, but for rounding": ([2.0, GUESS - 0.009, GUESS - 0.009, 2.4], 1.0),
    "just below a guess": ([GUESS - 0.011, NAN, NAN, NAN], 1.0),
    "a gap above the best": ([2.0, 1.0, NAN, 1.5], 2.0),
    "a gap below the best": ([2.0, NAN, 1.0, 1.5], 8.0),
    "a gap on both sides": ([2.0, NAN, 1.0, NAN], 4.0),
    "the small ones learn nothing": ([GUESS, GUESS, 1.0, NAN], 4.0),
    "the first alone": ([1.0, GUESS, GUESS, 1.5], 1.0),
}


@pytest.mark.parametrize("case", LAST)
@pytest.mark.parametrize("rule", ["forward", "backprop"])
def test_the_largest_stable_step_size(
    case: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, expected = LAST[case]
    assert stable(monkeypatch, [[2.2] * 4] * (scaling.EPOCHS - 1) + [last], rule) == expected


@pytest.mark.parametrize("epoch", range(scaling.EPOCHS - 1))
def test_a_step_size_is_unstable_where_the_loss_was_above_that_of_a_guess(
    epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = np.full((scaling.EPOCHS, 4), 1.0)
    losses[epoch] = [GUESS + 0.09, GUESS + 0.09, GUESS + 0.11, NAN]
    assert stable(monkeypatch, losses) == 2.0
    losses[epoch] = [GUESS + 0.11, NAN, math.inf, 1e6]
    assert stable(monkeypatch, losses) is None
    losses[epoch] = [1.0, 1.0, 1.0, NAN]
    assert stable(monkeypatch, losses) == 4.0


def test_training_that_ended_early_is_not_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stable(monkeypatch, np.full((scaling.EPOCHS - 1, 4), 1.0)) is None


@pytest.mark.parametrize("rule", ["forward", "backprop"])
def test_all_step_sizes_are_trained_at_once_from_the_same_start(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def noted(network: Any, loss: Any, optimiser: Any, data: Any, **options: Any) -> dict[str, Any]:
        rates = np.asarray(optimiser.lr(0)).ravel()
        seen.update(
            options,
            rates=rates,
            weights=[parameter.value for parameter in network.parameters()],
            data=data,
        )
        return {"train_loss": np.full((scaling.EPOCHS, len(rates)), 1.0)}

    monkeypatch.setattr(scaling, "fit", noted)
    few: Any = ("x", "y")
    assert scaling.largest_stable(few, rule, 3, 2, 64, 5) == scaling.RATES[rule][-1]
    np.testing.assert_array_equal(seen["rates"], scaling.RATES[rule])
    np.testing.assert_allclose(seen["rates"][1:] / seen["rates"][:-1], 2)
    assert (seen["batch_size"], seen["epochs"], seen["data"]) == (64, scaling.EPOCHS, few)
    if rule == "backprop":
        assert seen["rule"] is backprop
    else:
        assert isinstance(seen["rule"], ForwardGradient)
        assert (type(seen["rule"].directions), seen["rule"].num_dir, seen["rule"].clip) == (
            Rademacher,
            1,
            None,
        )
    alone = mlp(3)
    alone.initialise(Streams(5, [2]), np.float32)
    for together, one in zip(seen["weights"], alone.parameters(), strict=True):
        assert len(together) == len(seen["rates"])
        assert (together == one.value).all()


def test_sizes_are_measured_on_the_first_rows_one_after_another(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def noted(few: Any, rule: str, width: int, run: int, batch_size: int, seed: int) -> float:
        np.testing.assert_array_equal(few[1], data.train[1][:40])
        np.testing.assert_array_equal(few[0].codes, data.train[0].codes[:40])  # type: ignore[attr-defined]
        seen.append((rule, width, run, batch_size, seed))
        return float(len(seen))

    monkeypatch.setattr(scaling, "STEPS", 2)
    monkeypatch.setattr(scaling, "largest_stable", noted)
    found = scaling.scaling(data, [2, 4], 3, 20, 7)
    expected = [
        (rule, width, run, 20, 7)
        for width in (2, 4)
        for rule in ("forward", "backprop")
        for run in range(3)
    ]
    assert seen == expected
    assert (found["widths"], found["forward"], found["backprop"]) == (
        [2, 4], [[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]], [[4.0, 5.0, 6.0], [10.0, 11.0, 12.0]],
    )  # fmt: skip
    assert set(found) == {
        "widths",
        "n",
        "error",
        "error_limit",
        "expected_error",
        "forward",
        "backprop",
    }


def test_the_variance_of_one_direction_is_n_less_one(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "DRAWS", 150)
    found = scaling.variance(data.train, 4, 64, 0)  # type: ignore[arg-type]
    assert (found["n"], found["expected_error"]) == (N, pytest.approx(N - 1))
    off, three_errors = abs(found["error"] - found["expected_error"]), 1.5 * found["error_limit"]
    assert off < three_errors < 0.3 * found["expected_error"]


def test_a_step_of_forward_gradients_must_be_smaller(data: Data) -> None:
    """Trained, not made up: with 790 n of one direction, back-propagation bears a step size many times as large."""
    few: Any = data.train
    exact, forward = (
        scaling.largest_stable(few, rule, 16, 0, 20, 0) for rule in ("backprop", "forward")
    )
    assert exact is not None
    assert forward is None or forward <= exact / 8


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    path, config = tmp_path / "a.json", {"experiment": "x"}
    content = measured(
        path, config, lambda: {"error": [1.5, float("nan")], "by": {"a": float("inf")}}, False
    )
    assert (content["error"], content["by"]) == ([1.5, None], {"a": None})
    assert json.loads(path.read_text()) == content
