"""Made-up pictures in the place of MNIST and CIFAR-10 for forward gradients and binary networks."""

import pytest

from experiments.forward import problems
from tests.experiments import deep


def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put made-up pictures in the place of both data sets; the complete CIFAR-10 is not there."""
    deep.made_up(monkeypatch)
    monkeypatch.setattr(problems, "load_mnist", lambda name, data_dir: deep.pictures(0, 1, 28))
