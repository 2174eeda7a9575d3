"""The networks of `forward` and their data."""

import numpy as np
import pytest

from aopnp import Conv2d, Dense, MaxPool2d, Streams
from aopnp.nn import Layer
from experiments.forward.networks import mlp, small_vgg, vgg16
from experiments.forward.problems import FORWARD
from experiments.training import load
from tests.experiments.deep import TEST, pictures
from tests.experiments.forward import made_up


def weights(network: Layer) -> int:
    """Weights of dense layers and convolutions, without biases."""
    return sum(layer.inputs * layer.outputs for layer in network.walk() if isinstance(layer, Dense))


def test_sizes_are_as_published() -> None:
    assert weights(mlp(1024)) == 784 * 1024 + 1024 * 1024 + 1024 * 10
    assert weights(vgg16(64)) == pytest.approx(14.71e6 + 5120, rel=1e-3)
    assert sum(isinstance(layer, Conv2d) for layer in vgg16(64).walk()) == 13
    assert sum(isinstance(layer, MaxPool2d) for layer in vgg16(64).walk()) == 5
    assert weights(small_vgg(8)) == 9 * (3 * 8 + 8 * 16 + 16 * 32) + 4 * 4 * 32 * 10


@pytest.mark.parametrize("make", [small_vgg, vgg16])
def test_vgg_maps_colour_pictures_to_ten_classes(make: type) -> None:
    network: Layer = make(1)
    network.initialise(Streams(), np.float32)
    x = np.random.default_rng(0).random((1, 3, 3072)).astype(np.float32)
    assert network.forward(x).shape == (1, 3, 10)


def test_mnist_is_all_pictures_with_pixels_in_0_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    for name in ("forward", "forward-narrow"):
        (x, y), (x_validation, _), train_total, validation_total = load(name, None, 50, "float32")
        images = pictures(0, 1, 28)
        np.testing.assert_allclose(x.decoded(), images.x_train / 255, rtol=1e-6)
        np.testing.assert_array_equal(y, images.y_train)
        np.testing.assert_allclose(x_validation.decoded(), images.x_test / 255, rtol=1e-6)
        assert (train_total, validation_total) == (100, TEST)  # of 110 the last 10 fill no batch
    assert set(FORWARD) == {"forward", "forward-narrow", "forward-vgg", "forward-vgg16"}
