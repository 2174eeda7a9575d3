"""The problems that are trained on: data, preprocessing, network and loss, with the paper's quirks in sight.

scikit-learn is imported where it is used: the processes that train on images do without it.
"""

import numpy as np

from aopnp import Chain, CrossEntropy, Dense, MeanSquaredError, Softmax
from aopnp.data import Coded, load_energy, load_mnist
from aopnp.estimators import Estimator
from aopnp.nn import Layer
from experiments.binary.problems import BINARY
from experiments.deep.problems import DEEP
from experiments.feedback.problems import FEEDBACK
from experiments.forward.problems import FORWARD
from experiments.problem import Data, Problem


def energy_data(data_dir: str | None, batch_size: int) -> Data:
    """Return Energy Efficiency: 16 inputs, heating load [n, 1]; split in file order, 576 rows for training."""
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = load_energy(data_dir)
    # Six measurements (columns 0-4 and glazing area), then one-hot orientation and glazing-area distribution.
    columns = make_column_transformer(
        (StandardScaler(), [0, 1, 2, 3, 4, 6]), (OneHotEncoder(sparse_output=False), [5, 7])
    )
    columns.fit(table[:576])
    x, y = columns.transform(table), table[:, 8:9]
    return Data((x[:576], y[:576]), (x[576:], y[576:]), 576, 192)


def image_data(name: str, data_dir: str | None, batch_size: int) -> Data:
    """Return MNIST or a drop-in: 784 pixels in -1..1. Validation is the first full batches of the test images.

    Accuracies are counted against all 60000 and 10000 images although partial batches are left out, as published.
    """
    images = load_mnist(name, data_dir)
    seen = len(images.x_test) // batch_size * batch_size
    levels = (np.arange(256) / 255 - 0.5) / 0.5
    train, test = images.y_train.astype(np.int64), images.y_test.astype(np.int64)
    return Data(
        (Coded(images.x_train, levels), train),
        (Coded(images.x_test[:seen], levels), test[:seen]),
        len(train),
        len(test),
    )


def digits_data(data_dir: str | None, batch_size: int) -> Data:
    """Return scikit-learn's digits: 64 pixels in 0..1, a fifth held out for validation (fixed, stratified split)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    train, test, train_y, test_y = train_test_split(
        x / 16, y, test_size=0.2, stratify=y, random_state=0
    )
    seen = len(train) // batch_size * batch_size
    return Data((train, train_y), (test, test_y), seen, len(test))


def _double_softmax(estimator: Estimator) -> Layer:
    # The paper's network ends in a softmax, and its cross-entropy applies log-softmax once more.
    return Chain(Dense(784, 10, estimator), Softmax())


def _images(name: str) -> Problem:
    return Problem(
        lambda folder, batch_size: image_data(name, folder, batch_size),
        _double_softmax,
        CrossEntropy,
    )


PROBLEMS = {
    "energy": Problem(energy_data, lambda estimator: Dense(16, 1, estimator), MeanSquaredError),
    "mnist": _images("mnist"),
    "fashion_mnist": _images("fashion_mnist"),
    "kmnist": _images("kmnist"),
    "digits": Problem(digits_data, lambda estimator: Dense(64, 10, estimator), CrossEntropy),
    **DEEP,
    **FEEDBACK,
    **FORWARD,
    **BINARY,
}
