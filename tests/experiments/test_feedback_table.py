"""The closing table: paired differences to DFA and to back-propagation, compute as a share of back-propagation's."""

from typing import Any

import numpy as np
import pytest

from experiments.feedback.config import APPROXIMATE, FeedbackConfig
from experiments.feedback.table import HEADER, NOTE, PUBLISHED, comparison
from tests.experiments.feedback import small

T = 4.302653
"""Student's t for 2 degrees of freedom, 97.5 %."""


def result(losses: list[Any], accuracies: list[Any], flops: float = 1.0) -> dict[str, Any]:
    """A result whose last epoch is given, of as many runs."""
    runs = len(losses)
    history = {
        "train_loss": [[9.0, loss] for loss in losses],
        "val_accuracy": [[0.1, accuracy] for accuracy in accuracies],
        "flops": [[flops, flops]] * runs,
    }
    return {
        "status": "finished",
        "history": history,
        "seconds": {"per_run": [1.0, 2.0, 3.0][:runs]},
    }


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()
    ]


BP, DFA, DKP = small(rule="bp"), small(), small(rule="dkp", **APPROXIMATE)
OF_BP = result([0.1, 0.2, 0.3], [0.9, 0.8, 0.7], 4.0)
OF_DFA = result([0.4, 0.4, 0.4], [0.89, 0.78, 0.67], 3.0)


def rows(configs: list[FeedbackConfig], results: list[dict[str, Any]]) -> list[list[str]]:
    header, *lines = cells(comparison(configs, results))
    assert header == list(HEADER)
    return lines


def test_differences_are_paired_and_compute_is_a_share_of_back_propagations() -> None:
    third = result([0.5, 0.6, 0.7], [0.9, 0.78, 0.69], 1.0)
    bp, dfa, dkp, *notes = rows([BP, DFA, DKP], [OF_BP, OF_DFA, third])
    assert [" ".join(note) for note in notes] == [NOTE, PUBLISHED]
    to_bp = f"-0.0200 +- {T * 0.01 / 3**0.5:.4f}"  # -0.01, -0.02, -0.03
    to_dfa = f"+0.0200 +- {T * 0.01 / 3**0.5:.4f}"
    assert bp == ["bp", "0.2000 +- 0.1000", "0.8000 +- 0.1000", to_dfa, "-", "1.000", "2.0"]
    assert dfa == ["dfa", "0.4000 +- 0.0000", "0.7800 +- 0.1100", "-", to_bp, "0.750", "2.0"]
    assert dkp[:3] == [
        "dkp-topk-row-ratio0.125",
        "0.6000 +- 0.1000",
        f"0.7900 +- {np.std([90, 78, 69], ddof=1) / 100:.4f}",
    ]
    assert dkp[3:5] == [
        f"+0.0100 +- {T * 0.01 / 3**0.5:.4f}",  # 0.01, 0, 0.02
        f"-0.0100 +- {T * 0.01 / 3**0.5:.4f}",  # 0, -0.02, -0.01
    ]
    assert dkp[5:] == ["0.250", "2.0"]


def test_one_run_has_no_limit_and_nothing_to_compare_with_no_difference() -> None:
    one, other = result([0.1], [0.9], 4.0), result([0.2], [0.85], 2.0)
    assert rows([BP, DFA], [one, other])[1][3:] == ["-", "-0.0500", "0.500", "1.0"]
    assert rows([DKP], [other])[0][3:] == ["-", "-", "-", "1.0"]


def test_dfa_with_another_b_is_no_reference() -> None:
    tiny = small(b_init="tiny")
    assert [row[3] for row in rows([BP, tiny], [OF_BP, OF_DFA])[:2]] == ["-", "-"]


def test_a_divergence_is_told_and_costs_what_an_epoch_did() -> None:
    blown = result([0.4, None, 0.4], [0.8, None, 0.8], 2.0) | {"status": "diverged"}
    blown["history"]["flops"][1] = [2.0, None]
    row = rows([BP, DFA], [OF_BP, blown])[1]
    assert row == ["dfa (diverged)", "not finite", "not finite", "-", "not finite", "0.500", "2.0"]


@pytest.mark.parametrize(
    ("experiment", "told"), [("feedback-mnist-full", True), ("feedback-cifar", False)]
)
def test_published_values_are_told_for_mnist(experiment: str, told: bool) -> None:
    assert (PUBLISHED in comparison([small(experiment)], [OF_DFA])) == told
