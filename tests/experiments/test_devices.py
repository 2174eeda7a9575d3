"""`--device cuda-sim`: a command trains through the CUDA kernels, to the same result."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aopnp import AOP, SGD, CrossEntropy, RowMemory, Streams, topk
from aopnp.arrays.backend import to_device, to_host
from aopnp.data.batches import epoch_batches
from aopnp.estimators import Step
from aopnp.training import backprop
from aopnp.training.selection_noise import epoch_noise
from aopnp.verify import recorded
from experiments.config import Config, configuration
from experiments.problems import PROBLEMS
from experiments.runner import Running, train_all
from experiments.training import load
from tests.devices import need
from tests.experiments.small import histories
from tests.experiments.test_refusals import Command


def test_the_simulated_device_trains_to_the_same_result(out: Path) -> None:
    need("cuda-sim")
    here = [
        configuration("digits", policy, memory, k=8, epochs=1, runs=2, dtype="float64")
        for policy, memory in (
            ("exact", "none"),
            ("topk", "none"),
            ("weightedk", "row"),
            ("randk", "row"),
        )
    ]
    there = [replace(config, device="cuda-sim") for config in here]
    results = train_all([*here, *there], Running(out, jobs=1, progress=False))
    for ours, expected in zip(histories(results[4:]), histories(results[:4]), strict=True):
        for name in expected:
            np.testing.assert_allclose(ours[name], expected[name], rtol=1e-12)


def test_the_command_says_that_it_is_slow_and_names_the_file_after_the_device(
    command: Command, out: Path, energy_dir: str
) -> None:
    need("cuda-sim")
    words = ["--device", "cuda-sim", "--runs", 2, "--epochs", 1, "--k", 3, "--batch-size", 64]
    ended = command("energy", "--data-dir", energy_dir, *words)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("device: cuda-sim runs CUDA source on the CPU")
    stem = "topk-row-k3-batch-size64-epochs1-runs2-devicecuda-sim"
    content = json.loads((out / "energy" / f"{stem}.json").read_text())
    assert (content["status"], content["config"]["device"]) == ("finished", "cuda-sim")


def test_the_figure_is_drawn_from_what_was_trained_on_the_device(
    command: Command, defaults: Callable[..., Config], out: Path, tmp_path: Path
) -> None:
    need("cuda-sim")
    defaults("digits", epochs=1, runs=2)
    ended = command("quickstart", "--device", "cuda-sim")
    assert ended.code == 0, ended.err
    assert (tmp_path / "figures" / "quickstart.png").exists()
    assert len(list((out / "digits").glob("*-devicecuda-sim.json"))) == 7


def rows_and_keys(
    device: str, steps: int, data_dir: str
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the rows that topk selects, and its keys, over the first steps of the mnist experiment."""
    keys, selections = [], []

    def policy(log_norms, noise, k):
        keys.append(log_norms)
        return topk(log_norms, noise, k)

    estimator = AOP(recorded(policy, selections), 8, RowMemory())
    network, streams = PROBLEMS["mnist"].network(estimator), Streams(0, [0])
    network.initialise(streams, np.float32, device)
    coded, labels = load("mnist", data_dir, 64, "float32").train
    x = coded.decoded()
    noise = epoch_noise(network, streams, 1, steps, 64)
    optimiser, loss = SGD(0.01), CrossEntropy()
    for t, rows in zip(range(steps), epoch_batches(streams, 1, len(x), 64), strict=False):
        step = Step(
            t,
            optimiser.lr(t),
            {layer: to_device(each[t], device) for layer, each in noise.items()},
            True,
        )
        backprop(network, loss, to_device(x[rows], device), to_device(labels[rows], device), step)
        optimiser.update(network.parameters(), step)
    return [to_host(s.rows)[0] for s in selections], [to_host(each)[0] for each in keys]


@pytest.mark.parametrize(
    ("device", "steps"), [("cuda-sim", 100), pytest.param("gpu", 200, marks=pytest.mark.gpu)]
)
def test_the_same_rows_are_chosen_in_the_mnist_experiment(
    device: str, steps: int, mnist_dir: str
) -> None:
    """Rows may differ only where two scores agree to 1e-5 relative; such steps are counted."""
    need(device)
    (ours, our_keys), (expected, keys) = (
        rows_and_keys(where, steps, mnist_dir) for where in (device, "cpu")
    )
    different = [t for t in range(steps) if set(ours[t]) != set(expected[t])]
    for t in different:
        swapped = sorted(set(ours[t]) ^ set(expected[t]))
        assert np.ptp(keys[t][swapped]) < 1e-5, f"step {t}: rows {swapped} have different scores"
        assert np.ptp(our_keys[t][swapped]) < 1e-5
    print(f"{len(different)} of {steps} steps chose among equal scores")
    assert len(different) <= steps // 20
