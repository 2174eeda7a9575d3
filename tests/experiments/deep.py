"""A few made-up pictures in the place of MNIST and CIFAR-10, and configurations that are trained on them in no time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aopnp.data import DataError, ImageData
from experiments.deep import problems
from experiments.deep.config import DEFAULTS, Deep, estimated, exact

TRAIN, TEST = 110, 30


def pictures(left_out: int, colours: int, side: int) -> ImageData:
    """Ten patterns of 4 x 4 blocks with noise on them, `left_out` white pictures before the training pictures."""
    rng, pixels = np.random.default_rng(0), side * side * colours
    blocks = np.kron(rng.integers(0, 2, (10, 4, 4, 1)), np.ones((1, side // 4, side // 4, colours)))
    patterns = 150 * blocks.reshape(10, pixels)
    labels = [np.resize(np.arange(10), count).astype(np.uint8) for count in (TRAIN, TEST)]
    images = [
        (patterns[y] + rng.integers(0, 100, (len(y), pixels))).astype(np.uint8) for y in labels
    ]
    first = np.full((left_out, pixels), 255, np.uint8), np.full(left_out, 9, np.uint8)
    return ImageData(
        np.concatenate([first[0], images[0]]),
        np.concatenate([first[1], labels[0]]),
        images[1],
        labels[1],
    )


def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put made-up pictures in the place of both data sets; the complete CIFAR-10 is not there."""

    def cifar10(data_dir: str | None, *, complete: bool) -> ImageData:
        if complete:
            raise DataError("expected the file cifar-10-binary.tar.gz, got none")
        return pictures(0, 3, 32)

    monkeypatch.setattr(problems, "load_mnist", lambda name, data_dir: pictures(5000, 1, 28))
    monkeypatch.setattr(problems, "load_cifar10", cifar10)


def small(
    experiment: str = "mlp", policy: str = "topk", memory: str = "none", **changes: Any
) -> Deep:
    """A configuration of two epochs and two runs."""
    base = replace(DEFAULTS[experiment], **{"batch_size": 50, "epochs": 2, "runs": 2, **changes})
    return exact(base) if policy == "exact" else estimated(base, policy, memory)
