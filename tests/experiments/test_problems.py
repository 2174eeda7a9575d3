"""Data, preprocessing and losses against the formulas of arXiv 2110.09164, section 4, written out in NumPy."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from aopnp import Streams
from aopnp.data import load_energy, load_mnist
from aopnp.data.batches import epoch_batches
from experiments import problems
from experiments.config import UsageError, configuration
from experiments.problems import PROBLEMS
from experiments.training import load, train_stack
from tests.experiments.small import train

Array = NDArray[Any]


def one_hot(column: Array) -> Array:
    """Columns in ascending order of the value."""
    return np.equal(column[:, None], sorted(set(column.tolist()))).astype(float)


def energy_by_hand(folder: str) -> tuple[Array, Array]:
    """Inputs [768, 16] and target [768, 1]."""
    table = load_energy(folder)
    measured = table[:, [0, 1, 2, 3, 4, 6]]
    train = measured[:576]
    mean = train.sum(0) / 576
    deviation = np.sqrt(((train - mean) ** 2).sum(0) / 576)
    orientation, distribution = table[:, 5], table[:, 7]
    x = np.hstack([(measured - mean) / deviation, one_hot(orientation), one_hot(distribution)])
    return x, table[:, 8:9]


def test_energy_is_standardised_and_one_hot_in_file_order(energy_dir: str) -> None:
    x, y = energy_by_hand(energy_dir)
    data = load("energy", energy_dir, 144, "float64")
    assert x.shape == (768, 16)
    for (inputs, target), rows in ((data.train, slice(0, 576)), (data.validation, slice(576, 768))):
        np.testing.assert_allclose(inputs, x[rows], rtol=1e-13, atol=1e-13)
        np.testing.assert_array_equal(target, y[rows], strict=True)


def test_energy_trains_as_the_formulas_say(energy_dir: str) -> None:
    """Exact gradient: loss before each step, one validation batch of all 192 rows, a new order every epoch."""
    config = configuration("energy", "exact", epochs=3, runs=1, dtype="float64", seed=4)
    history = train_stack([(config, 2)], energy_dir)[0]["history"]
    streams, (x, y) = Streams(4, [2]), energy_by_hand(energy_dir)
    network = PROBLEMS["energy"].network(config.estimator())
    network.initialise(streams, "float64")
    w, b = (parameter.value[0].copy() for parameter in network.parameters())
    for epoch in range(3):
        losses = []
        for rows in epoch_batches(streams, epoch + 1, 576, 144):
            batch, error = x[rows[0]], x[rows[0]] @ w + b - y[rows[0]]
            losses.append((error**2).sum() / 144)
            w, b = w - 0.01 * batch.T @ (2 / 144 * error), b - 0.01 * (2 / 144 * error).sum(0)
        assert history["train_loss"][epoch] == pytest.approx(sum(losses) / 4, rel=1e-12)
        assert history["val_loss"][epoch] == pytest.approx(
            ((x[576:] @ w + b - y[576:]) ** 2).sum() / 192, rel=1e-12
        )


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """300 + 200 noise pictures in the place of MNIST."""
    rng = np.random.default_rng(0)
    made = SimpleNamespace(
        x_train=rng.integers(0, 256, (300, 784), np.uint8),
        y_train=rng.integers(0, 10, 300).astype(np.uint8),
        x_test=rng.integers(0, 256, (200, 784), np.uint8),
        y_test=rng.integers(0, 10, 200).astype(np.uint8),
    )
    made.x_train[0, :3] = made.x_test[0, :3] = (0, 51, 255)
    monkeypatch.setattr(problems, "load_mnist", lambda name, folder: made)
    return made


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "kmnist"])
def test_pixels_are_scaled_and_validation_is_cut_to_full_batches(
    dataset: str, pictures: SimpleNamespace
) -> None:
    (coded, y), (coded_validation, y_validation), *totals = load(dataset, None, 64, "float32")
    x, x_validation = coded.decoded(), coded_validation.decoded()
    assert {x.dtype, x_validation.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(x[0, :3], [-1, 2 * 0.2 - 1, 1], rtol=0, atol=1e-7)
    np.testing.assert_allclose(x, (pictures.x_train / 255 - 0.5) / 0.5, rtol=0, atol=2e-7)
    np.testing.assert_allclose(
        x_validation, (pictures.x_test[:192] / 255 - 0.5) / 0.5, rtol=0, atol=2e-7
    )
    np.testing.assert_array_equal(y, pictures.y_train)
    np.testing.assert_array_equal(y_validation, pictures.y_test[:192])
    assert totals == [300, 200]


def log_softmax(z: Array) -> Array:
    logarithm: Array = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return logarithm


@pytest.mark.usefixtures("pictures")
def test_images_are_measured_as_published() -> None:
    """Softmax twice; accuracies of the rows seen counted against all rows. A tiny step leaves the weights alone."""
    config = configuration("mnist", "exact", epochs=1, runs=1, lr=1e-30, dtype="float64")
    history = train_stack([(config, 0)], None)[0]["history"]
    data, streams = load("mnist", None, 64, "float64"), Streams(0, [0])
    network = PROBLEMS["mnist"].network(config.estimator())
    network.initialise(streams, "float64")
    w, b = (parameter.value[0] for parameter in network.parameters())
    seen = np.concatenate([rows[0] for rows in epoch_batches(streams, 1, 300, 64)])
    assert len(seen) == 256
    for name, (x, y), total in (
        ("train", (data.train[0].decoded()[seen], data.train[1][seen]), 300),
        ("val", (data.validation[0].decoded(), data.validation[1]), 200),
    ):
        z = x @ w + b
        loss = -log_softmax(np.exp(log_softmax(z)))[np.arange(len(y)), y].mean()
        assert history[f"{name}_loss"] == [pytest.approx(loss, rel=1e-12)]
        assert history[f"{name}_accuracy"] == [
            pytest.approx((z.argmax(-1) == y).sum() / total, rel=1e-12)
        ]


def test_mnist_counts_59968_and_9984_rows_against_all(mnist_dir: str) -> None:
    images, data = load_mnist("mnist", mnist_dir), load("mnist", mnist_dir, 64, "float32")
    assert [len(data.train[0]), len(data.validation[0]), *data[2:]] == [60000, 9984, 60000, 10000]
    np.testing.assert_array_equal(data.validation[1], images.y_test[:9984])
    config = configuration("mnist", "topk", "none", k=1, epochs=1, runs=1)
    history = train_stack([(config, 0)], mnist_dir)[0]["history"]
    for name, seen, total in (("train", 59968, 60000), ("val", 9984, 10000)):
        correct = history[f"{name}_accuracy"][0] * total
        assert correct == pytest.approx(round(correct), abs=1e-6)
        assert 0 < correct <= seen
        assert (
            history[f"{name}_loss"][0] > 1.4612
        )  # the floor of the double softmax: -log softmax of a one-hot row


def test_digits_are_split_once_and_evenly() -> None:
    x, y = load_digits(return_X_y=True)
    data = load("digits", None, 64, "float64")
    rows = np.vstack([data.train[0], data.validation[0]]) * 16
    labels = np.concatenate([data.train[1], data.validation[1]])
    assert [len(data.train[0]), len(data.validation[0]), *data[2:]] == [1437, 360, 1408, 360]
    order, expected = np.lexsort([*rows.T, labels]), np.lexsort([*x.T, y])
    np.testing.assert_array_equal(rows[order], x[expected])
    np.testing.assert_array_equal(labels[order], y[expected])
    assert np.abs(np.bincount(data.validation[1]) - np.bincount(y) / 5).max() <= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_numbers_have_the_type_asked_for_and_labels_stay_integers(dtype: str) -> None:
    data = load("digits", None, 64, dtype)
    assert {data.train[0].dtype, data.validation[0].dtype} == {np.dtype(dtype)}
    assert {data.train[1].dtype.kind, data.validation[1].dtype.kind} == {"i"}


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("batch_size", [201, 301])
def test_a_batch_that_no_full_one_can_be_made_of_is_refused(batch_size: int, out: Path) -> None:
    with pytest.raises(
        UsageError, match=rf"expected --batch-size of at most 200, .* got {batch_size}; lower it"
    ):
        train(out, [configuration("mnist", batch_size=batch_size)])
