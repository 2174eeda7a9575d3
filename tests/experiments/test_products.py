"""`products`: its numbers, its files, its verdict."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aopnp.estimators.policies import POLICIES
from experiments import products
from experiments.config import UsageError
from experiments.product_errors import METHODS, errors, summary
from tests.experiments.small import files, without_times

Measure = Callable[..., tuple[int, str]]


@pytest.fixture
def measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Measure:
    """Run the command on small matrices; returns (exit code, what it printed)."""

    def run(*words: object) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        command = products.add_products(parser)
        where = ["--out", str(tmp_path / "results"), "--figures", str(tmp_path / "figures")]
        capsys.readouterr()
        code = command(parser.parse_args([*where, *map(str, words)]))
        captured = capsys.readouterr()
        assert captured.err == ""  # no progress bar in a log
        return code, captured.out

    return run


def results(tmp_path: Path) -> dict[str, Any]:
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted((tmp_path / "results/products").glob("*.json"))
    }


def test_one_repeat_is_the_policy_applied_to_two_matrices() -> None:
    """By hand: the policy's rows, weighted, against the exact product; matrices and noise from the repeat's stream."""
    ((done, found),) = errors("mean1", 8, 1, [3, 8], seed=5)
    generator = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(0, 0)))
    a, b = generator.normal(1, 1, (2, 8, 8))
    noise = generator.gumbel(size=8)
    log_norms = np.log(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))[None]
    assert (done, found.shape) == (1, (len(METHODS), 2, 1))
    for i, method in enumerate(METHODS[:-1]):
        for j, k in enumerate([3, 8]):
            chosen = POLICIES[method](log_norms, noise[None], np.array([k]))
            estimate = (a[chosen.rows[0]].T * chosen.weights[0]) @ b[chosen.rows[0]]
            expected = np.linalg.norm(estimate - a.T @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
            assert found[i, j, 0] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    left, right = (np.linalg.svd(x) for x in (a.T, b))
    truncated = [(U[:, :3] * s[:3]) @ Vh[:3] for U, s, Vh in (left, right)]
    expected = np.linalg.norm(truncated[0] @ truncated[1] - a.T @ b) / (
        np.linalg.norm(a) * np.linalg.norm(b)
    )
    assert found[-1, 0, 0] == pytest.approx(expected)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate([chunk for _, chunk in errors("mean0", 6, 7, [2, 4], 0)], -1)
    monkeypatch.setattr("experiments.product_errors.CHUNK", 3)
    parts = list(errors("mean0", 6, 7, [2, 4], 0))
    assert [done for done, _ in parts] == [3, 6, 7]
    np.testing.assert_allclose(
        np.concatenate([chunk for _, chunk in parts], -1), whole, rtol=1e-12, atol=1e-15
    )


def test_the_summary_is_mean_spread_and_root_mean_square() -> None:
    every = np.zeros((len(METHODS), 1, 2))
    every[0] = [[1.0, 7.0]]
    assert summary(every, [4])["topk"] == {"k": [4], "mean": [4.0], "std": [3.0], "rms": [5.0]}


def test_the_command_writes_two_files_and_a_figure(measure: Measure, tmp_path: Path) -> None:
    code, printed = measure("--size", 6, "--repeats", 4, "--seed", 2)
    assert code == 0
    assert "published values are for --size 100" in printed
    assert files(tmp_path / "results") == ["products", "products/mean0.json", "products/mean1.json"]
    assert files(tmp_path / "figures") == ["products.png", "products.svg"]
    for family, content in results(tmp_path).items():
        assert set(content) == {"schema", "config", "errors", "seconds", "environment"}
        assert content["config"] == {
            "experiment": "products", "family": family, "size": 6, "repeats": 4, "ks": [1, 2, 3, 5, 6], "seed": 2,
        }  # fmt: skip
        assert tuple(content["errors"]) == METHODS
        for one in content["errors"].values():
            assert all(len(one[name]) == 5 for name in ("k", "mean", "std", "rms"))
        assert content["errors"]["topk"]["mean"][-1] < 1e-12  # all outer products


def test_what_is_there_is_not_measured_again(
    measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--size", 5, "--repeats", 3, "--ks", 4, 2, 4)
    measure(*words)
    before = results(tmp_path)
    assert before["mean0"]["config"]["ks"] == [2, 4]
    (tmp_path / "results/products/mean0.json").unlink()
    measured = []
    monkeypatch.setattr(
        products, "errors", lambda family, *rest: measured.append(family) or errors(family, *rest)
    )
    measure(*words)
    assert measured == ["mean0"]
    assert {n: without_times(c) for n, c in results(tmp_path).items()} == {
        n: without_times(c) for n, c in before.items()
    }
    with pytest.raises(
        UsageError, match=r"expected the result of these options in .*mean1.json, got one of others"
    ):
        measure("--size", 5, "--repeats", 2)
    assert measured == ["mean0"]
    measure("--size", 5, "--repeats", 2, "--force")
    assert measured == ["mean0", "mean1", "mean0"]
    (tmp_path / "results/products/mean1.json").write_text("{")
    with pytest.raises(UsageError, match="expected a result file in JSON"):
        measure("--size", 5, "--repeats", 2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", 0], "expected --size of at least 1, got 0"),
        (["--repeats", 0], "expected --repeats of at least 1"),
        (["--seed", -1], "expected --seed of at least 0"),
        (["--size", 5, "--ks", 3, 6], "expected --ks from 1 to 5, the size, got 3 6"),
        (["--ks", 0], "expected --ks from 1 to 100, the size, got 0"),
    ],
)
def test_wrong_options_are_a_sentence(
    measure: Measure, words: list[object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=sentence):
        measure(*words)
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said_before_measuring(
    measure: Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").write_text("a file")
    monkeypatch.setattr(products, "errors", lambda *_: pytest.fail("measured"))
    with pytest.raises(UsageError, match="expected an output folder that can be written"):
        measure("--size", 5, "--repeats", 2)


def test_the_published_values(measure: Measure, tmp_path: Path) -> None:
    """The whole table of the notebook, within the 5 % of the command (within 2.5 % at its 1000 repeats)."""
    code, printed = measure("--repeats", 400, "--ks", 10, 50, 90)
    rows = [line.split() for line in printed.splitlines() if line.startswith("N(")]
    assert len(rows) == 36
    assert "DISAGREES" not in printed
    assert code == 0
    for content in results(tmp_path).values():
        rms = {name: np.array(one["rms"]) for name, one in content["errors"].items()}
        for name in (
            "crs",
            "bernoulli",
            "bernoulli_clipped",
        ):  # in root mean square they stay below the bound
            assert (rms[name] < 1.03 / np.sqrt([10, 50, 90])).all()


def test_an_entry_that_is_off_fails_the_command(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(products.PUBLISHED["mean0"], "topk", (0.093 * 1.06, 0.065, 0.026))
    code, printed = measure("--repeats", 20, "--ks", 10)
    wrong = [line for line in printed.splitlines() if "topk" in line and "DISAGREES" in line]
    assert code == 1
    assert len(wrong) == 1
    assert wrong[0].startswith("N(0, 1)")
