"""A run that diverges: where, what is left of its curves, and that nothing and nobody overlooks it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aopnp import Streams, evaluate
from aopnp.data.batches import epoch_batches
from aopnp.estimators import Step
from aopnp.training import backprop
from aopnp.training.selection_noise import epoch_noise
from experiments.config import Config, configuration, seven
from experiments.problems import PROBLEMS
from experiments.results import result_path
from experiments.table import table
from experiments.training import load
from tests.experiments.small import Ended, expected_files, files, histories, train

HUGE = [1e35, 3e35]
"""Step sizes at which float32 overflows after some steps, with memory sooner than without."""


def huge(lr: float) -> list[Config]:
    return seven("digits", 8, batch_size=256, epochs=4, runs=3, lr=lr)


def first_infinity(config: Config, run: int) -> dict[str, int] | None:
    """Train step by step until a loss is not finite; the step after the last where only what follows it is not."""
    problem, data = PROBLEMS["digits"], load("digits", None, config.batch_size, config.dtype)
    network, loss, optimiser = (
        problem.network(config.estimator()),
        problem.loss(),
        config.optimiser(),
    )
    streams = Streams(config.seed, [run])
    network.initialise(streams, config.dtype)
    x, y = data.train
    steps = len(x) // config.batch_size
    for epoch in range(1, config.epochs + 1):
        noise = epoch_noise(network, streams, epoch, steps, config.batch_size)
        for t, rows in enumerate(epoch_batches(streams, epoch, len(x), config.batch_size)):
            index = (epoch - 1) * steps + t
            step = Step(
                index,
                optimiser.lr(index),
                {layer: n[t] for layer, n in noise.items()},
                training=True,
            )
            if not np.isfinite(backprop(network, loss, x[rows], y[rows], step)[0]).all():
                return {"run": run, "epoch": epoch, "step": t + 1}
            optimiser.update(network.parameters(), step)
        whole = all(np.isfinite(parameter.value).all() for parameter in network.parameters())
        if not whole or not np.isfinite(evaluate(network, loss, *data.validation)["loss"]).all():
            return {"run": run, "epoch": epoch, "step": steps + 1}
    return None


@pytest.mark.parametrize("lr", HUGE)
def test_divergence_is_where_the_first_loss_is_not_finite(lr: float, out: Path) -> None:
    configs, places = huge(lr), []
    results = train(out, configs)
    for config, result in zip(configs, results, strict=True):
        with np.errstate(all="ignore"):
            expected = [first_infinity(config, run) for run in range(config.runs)]
        diverged = [place for place in expected if place]
        places += diverged
        assert result["status"] == ("diverged" if diverged else "finished")
        assert result.get("diverged_at") == (diverged[0] if diverged else None)
        for run, place in enumerate(expected):
            last = place["epoch"] if place else config.epochs
            for name, curves in result["history"].items():
                assert None not in curves[run][: last - 1], (name, place)
                assert set(curves[run][last:]) <= {None}, (name, place)
            assert len(result["history"]["val_loss"][run]) == config.epochs
            if place:  # an epoch has five steps; the sixth stands for what follows the last
                train_loss, val_loss = (
                    result["history"][name][run][last - 1] for name in ("train_loss", "val_loss")
                )
                assert (train_loss is None) == (place["step"] < 6)
                assert val_loss is None or place["step"] < 6
    assert {result["status"] for result in results} == {"finished", "diverged"}
    assert len({(place["epoch"], place["step"]) for place in places}) > 2
    assert max(place["epoch"] for place in places) > 1


@pytest.mark.parametrize("lr", HUGE)
def test_a_diverging_run_disturbs_no_other(lr: float, out: Path, tmp_path: Path) -> None:
    configs = huge(lr)
    together = train(out, configs)
    apart = [train(tmp_path / "alone", [config])[0] for config in configs]
    assert histories(together) == histories(apart)
    assert [r.get("diverged_at") for r in together] == [r.get("diverged_at") for r in apart]


def test_a_diverged_result_is_json_and_says_so_where_the_status_is(out: Path) -> None:
    config = configuration("digits", lr=1e37, epochs=2, runs=2)
    (result,) = train(out, [config])
    text = result_path(out, config).read_text()
    assert not re.search(r"NaN|Infinity", text)
    assert list(json.loads(text))[:3] == ["schema", "status", "diverged_at"]
    assert result["diverged_at"]["run"] == 0
    assert files(out) == expected_files(out, [config])
    assert "topk, memory row, K = 8 (diverged)  not finite" in table([result])


def test_a_command_says_which_run_diverged_each_time_and_draws_it(
    out: Path,
    command: Callable[..., Ended],
    defaults: Callable[..., Config],
    trained: list[tuple[str, int]],
) -> None:
    defaults("digits", lr=1e37, epochs=2, runs=2)
    first = command("quickstart")
    assert first.code == 1
    diverged = [json.loads(path.read_text()) for path in out.glob("digits/*.json")]
    marked = [result for result in diverged if result["status"] == "diverged"]
    assert len(first.err.splitlines()) == len(marked) > 0
    place: dict[str, Any] = json.loads((out / "digits" / "topk-row-k8.json").read_text())[
        "diverged_at"
    ]
    assert (
        f"digits/topk-row-k8: run {place['run']} diverged: its loss stopped being finite at step {place['step']} "
        f"of epoch {place['epoch']}; try a smaller --lr\n"
    ) in first.err
    assert first.out.count("(diverged)") == len(marked)
    assert "quickstart.png" in first.out
    trained.clear()
    assert command("quickstart") == first
    assert trained == []


def test_one_configuration_that_diverges_ends_with_exit_code_1(
    command: Callable[..., Ended], energy_dir: str, out: Path
) -> None:
    ended = [
        command("energy", "--lr", 100, "--epochs", 3, "--runs", 2, "--data-dir", energy_dir)
        for _ in range(2)
    ]
    assert ended[0] == ended[1]
    assert ended[0].code == 1
    assert re.fullmatch(
        r"energy/topk-row-k9-epochs3-runs2-lr100: run 0 diverged: .* of epoch \d; .*\n",
        ended[0].err,
    )
    assert f"{out / 'energy' / 'topk-row-k9-epochs3-runs2-lr100.json'}" in ended[0].out
