"""The agreement with the published curves: energy in full, mnist in a short form (2 epochs, 5 runs, 4 schemes)."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.agreement import MNIST_SHORT_LIMIT, compare, report
from experiments.check import (
    BEST_BASELINE,
    _check_best_baseline,
    check_energy,
    published_configurations,
)
from experiments.config import configuration
from experiments.runner import Running, train_all

SCHEMES = {
    "exact": configuration("mnist", "exact"),
    "topk-row-k8": configuration("mnist", "topk", "row", k=8),
    "weightedk-none-k32": configuration("mnist", "weightedk", "none", k=32),
    "randk-row-k8": configuration("mnist", "randk", "row", k=8),
}


def test_every_published_configuration_is_checked():
    for dataset, policies in (("energy", (3, 18)), ("mnist", (8, 32))):
        names = {config.stem() for config in published_configurations(dataset)}
        expected = {
            f"{p}-{m}-k{k}"
            for p in ("topk", "weightedk", "randk")
            for m in ("row", "none")
            for k in policies
        }
        assert names == expected | {"exact"}


def test_energy_agrees_with_the_published_runs(data_dir, tmp_path, capsys):
    assert check_energy(Running(tmp_path, data_dir, progress=False)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 13 * 2 * 7 + 1  # a head, every z, the root mean square
    assert len(list((tmp_path / "check" / "energy").glob("*-runs20.json"))) == 13


def test_mnist_agrees_with_the_published_runs_in_the_first_two_epochs(data_dir, tmp_path):
    configs = [replace(config, epochs=2, runs=5) for config in SCHEMES.values()]
    results = train_all(configs, Running(tmp_path, data_dir, progress=False))
    limits = {"final_limit": MNIST_SHORT_LIMIT, "curve_limit": MNIST_SHORT_LIMIT}
    rows = [
        row
        for name, result in zip(SCHEMES, results, strict=True)
        for row in compare("mnist", name, result["history"], epochs=[1, 2], **limits)
    ]
    assert len(rows) == 16
    assert all(row.agrees for row in rows), report(rows)


@pytest.mark.parametrize(
    ("loss", "accuracy", "failures"), [(1.57, 0.914, 0), (1.55, 0.914, 1), (1.6, 0.92, 2)]
)
def test_the_best_baseline_run_is_held_to_its_band(loss, accuracy, failures, capsys):
    history = {
        "train_loss": [[9.0, 1.7], [9.0, loss]],
        "val_accuracy": [[0.0, 0.5], [0.0, accuracy]],
    }
    assert set(history) == set(BEST_BASELINE)
    assert _check_best_baseline(history) == failures
    assert capsys.readouterr().out.count("DISAGREES") == failures


def test_a_null_in_the_baseline_is_not_the_best_run():
    history = {"train_loss": [[None], [1.57]], "val_accuracy": [[None], [0.914]]}
    with np.errstate(all="raise"):
        assert _check_best_baseline(history) == 0
