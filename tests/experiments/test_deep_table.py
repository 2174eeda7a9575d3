"""The closing table: paired differences with Student's limit, compute from the ledger."""

from typing import Any

import numpy as np
import pytest

from experiments.deep.table import HEADER, NOTE, comparison, paired, scheme


def result(
    policy: str, losses: list[Any], accuracies: list[Any], flops: float = 1.0, **changes: Any
) -> dict[str, Any]:
    """A result whose last epoch is given, of as many runs."""
    runs = len(losses)
    config = {"policy": policy, "memory": "none", "ratio": 0.5, "where": "weight", **changes}
    history = {
        "train_loss": [[9.0, loss] for loss in losses],
        "val_loss": [[9.0, loss] for loss in losses],
        "val_accuracy": [[0.1, accuracy] for accuracy in accuracies],
        "flops": [[flops, flops]] * runs,
        "exact_flops": [[1.0, 1.0]] * runs,
    }
    seconds = {"per_run": [1.0, 2.0][:runs] + [3.0] * (runs - 2)}
    return {"status": "finished", "config": config, "history": history, "seconds": seconds}


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()
    ]


EXACT = result("exact", [0.3, 0.5, 0.4], [0.9, 0.7, 0.8])


def test_differences_are_paired_and_compute_is_a_share_of_the_exact_one() -> None:
    other = result(
        "topk", [0.4, 0.6, 0.6], [0.89, 0.68, 0.77], 0.625, memory="row", where="weight,input"
    )
    header, *rows, note = cells(comparison([EXACT, other]))
    assert header == list(HEADER)
    assert note == cells(NOTE)[0]
    three = ["0.4000 +- 0.1000", "0.4000 +- 0.1000", "-", "0.8000 +- 0.1000", "-", "1.000", "2.0"]
    assert rows[0] == ["exact", *three]
    # Differences 0.1, 0.1, 0.2 and -0.01, -0.02, -0.03; t = 4.302653 for 2 degrees of freedom.
    loss = f"{0.4 / 3:+.4f} +- {4.302653 * np.std([0.1, 0.1, 0.2], ddof=1) / 3**0.5:.4f}"
    accuracy = f"-0.0200 +- {4.302653 * 0.01 / 3**0.5:.4f}"
    assert rows[1] == [
        "topk, memory row, 0.5 of weight and input", "0.5333 +- 0.1155", "0.5333 +- 0.1155", loss,
        "0.7800 +- 0.1054", accuracy, "0.625", "2.0",
    ]  # fmt: skip


def test_one_run_has_no_limit_and_nothing_to_compare_with_no_difference() -> None:
    one, other = result("exact", [0.3], [0.9]), result("topk", [0.4], [0.95])
    assert cells(comparison([one, other]))[2][3:6] == ["+0.1000", "0.9500", "+0.0500"]
    assert cells(comparison([other]))[1][3:6] == ["-", "0.9500", "-"]


def test_a_divergence_is_told() -> None:
    blown = result("topk", [0.4, None, 0.4], [0.8, None, 0.8]) | {"status": "diverged"}
    blown["history"]["flops"][1] = [1.0, None]
    blown["history"]["exact_flops"][1] = [1.0, None]
    row = cells(comparison([EXACT, blown]))[2]
    assert row[:6] == ["topk, 0.5 of weight (diverged)", *["not finite"] * 5]
    assert row[6] == "1.000"


@pytest.mark.parametrize("runs", [2, 5, 30])
def test_the_limit_covers_19_of_20_samples(runs: int) -> None:
    rng = np.random.default_rng(runs)
    covered = [
        abs(mean - 0.3) <= limit
        for mean, limit in (paired(rng.normal(0.3, 2, runs)) for _ in range(2000))
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)  # 4 standard errors


def test_schemes_are_told_in_words() -> None:
    assert scheme(EXACT["config"]) == "exact"
    assert (
        scheme(result("wta", [], [], ratio=0.25, where="forward")["config"])
        == "wta, 0.25 of forward"
    )
