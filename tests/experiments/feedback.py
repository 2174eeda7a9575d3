"""Made-up pictures in the place of MNIST and CIFAR-10 for the feedback experiments, and small configurations."""

from dataclasses import replace
from typing import Any

import pytest

from experiments.feedback import problems
from experiments.feedback.config import FeedbackConfig, default
from tests.experiments import deep


def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put made-up pictures in the place of both data sets; the complete CIFAR-10 is not there."""
    deep.made_up(monkeypatch)
    monkeypatch.setattr(problems, "load_mnist", lambda name, data_dir: deep.pictures(0, 1, 28))


def small(experiment: str = "feedback-mnist", rule: str = "dfa", **changes: Any) -> FeedbackConfig:
    """A configuration of two epochs and two runs."""
    return replace(
        default(experiment, rule), **{"batch_size": 50, "epochs": 2, "runs": 2, **changes}
    )
