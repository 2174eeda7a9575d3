"""The networks: their size as published, which layers are estimated, that they learn, and what is fed to them."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from aopnp import AOP, Dense, Exact, Streams, topk
from aopnp.estimators import Step
from aopnp.estimators.term_counts import Ratio
from aopnp.nn import Conv2d, Layer
from aopnp.verify.adjoint import adjoint, tangent_is_derivative
from experiments.deep.networks import Products, cnn, mlp, wide_resnet
from experiments.deep.normalise import Normalise
from experiments.training import load, train_stack
from tests.experiments.deep import TEST, made_up, pictures, small

NETWORKS = {"mlp": mlp, "cnn": cnn, "cifar": partial(wide_resnet, 1, 1)}
EVERYWHERE = AOP(topk, Ratio(0.5))
SIZES = {
    "mlp": 784 * 500 + 500 + 500 * 500 + 500 + 500 * 10 + 10,
    "cnn": 25 * 32 + 32 + 25 * 32 * 64 + 64 + 3136 * 1024 + 1024 + 1024 * 10 + 10,
}


def size(network: Layer) -> int:
    network.initialise(Streams(), np.float32)
    return sum(parameter.value.size for parameter in network.parameters())


def products(layer: Dense) -> tuple[bool, ...]:
    return tuple(
        layer.products()[name].estimator == EVERYWHERE for name in ("weight", "forward", "input")
    )


@pytest.mark.parametrize("name", SIZES)
def test_the_networks_have_the_published_size(name: str) -> None:
    assert size(NETWORKS[name](Products())) == SIZES[name]


@pytest.mark.parametrize(
    ("blocks", "width", "millions"), [(1, 1, 0.078), (2, 1, 0.175), (1, 2, 0.31)]
)
def test_wide_residual_networks_have_the_published_size(
    blocks: int, width: int, millions: float
) -> None:
    """Zagoruyko and Komodakis 2016; WRN-16-1 has 0.175 million weights there (table 5)."""
    assert size(wide_resnet(blocks, width, Products())) == pytest.approx(1e6 * millions, rel=0.02)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_but_the_first_convolution_and_the_last_layer_are_estimated(name: str) -> None:
    network = NETWORKS[name](Products(EVERYWHERE, EVERYWHERE, EVERYWHERE))
    layers = [layer for layer in network.walk() if isinstance(layer, Dense)]
    exact = {0, len(layers) - 1} if name != "mlp" else {len(layers) - 1}
    for number, layer in enumerate(layers):
        assert products(layer) == (number not in exact,) * 3, layer
        if isinstance(layer, Conv2d) and number not in exact:
            assert layer.unit == "example"
    for layer in NETWORKS[name](Products()).walk():
        if isinstance(layer, Dense):
            assert {product.estimator for product in layer.products().values()} == {Exact()}


def test_colours_are_standardised() -> None:
    layer = Normalise((0.5, 0.25), (0.5, 2.0))
    layer.initialise(Streams(), np.float64)
    x = np.array([0.5, 0.25, 1.0, 4.25]).reshape(1, 1, 1, 2, 2)
    np.testing.assert_array_equal(
        layer.forward(x), np.array([0.0, 0, 1, 2]).reshape(x.shape), strict=True
    )
    rng = np.random.default_rng(0)
    x, g, u = (rng.normal(size=x.shape) for _ in range(3))
    adjoint(layer, x, g, u, Step())
    tangent_is_derivative(layer, x, u)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("policy", ["exact", "topk"])
def test_the_networks_learn(name: str, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    config = small(name, policy, "row", batch_size=10, epochs=4, minimal_k=1)
    history = train_stack([(config, 0)], None)[0]["history"]
    losses = history["train_loss"]
    assert losses[0] > losses[1] > losses[2] > losses[3]
    assert losses[3] < 0.85 * losses[0] < 2.5
    assert set(history) >= {
        "val_loss",
        "val_accuracy",
        "train_accuracy",
        "flops",
        "exact_flops",
        "overhead_flops",
    }
    spent = np.array(history["flops"]) / history["exact_flops"]
    np.testing.assert_array_less(spent, 1) if policy == "topk" else np.testing.assert_array_equal(
        spent, 1
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_configurations_start_alike_and_see_the_same_batches_and_masks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps too small to move a weight: what is left of a loss are initial weights, batches, dropout, crops."""
    made_up(monkeypatch)
    schemes = [("exact", "none"), ("topk", "none"), ("topk", "row"), ("bernoulli", "none")]
    configs = [small(name, policy, memory, lr=1e-30, epochs=1) for policy, memory in schemes]
    members = [*((config, 0) for config in configs), (configs[0], 1)]
    losses = [train_stack([member], None)[0]["history"]["train_loss"][0] for member in members]
    assert len(set(losses[:-1])) == 1
    assert losses[-1] != losses[0]


def test_the_development_set_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    (x, y), (x_validation, y_validation), train_total, validation_total = load(
        "mlp", None, 50, "float32"
    )
    images = pictures(0, 1, 28)
    np.testing.assert_allclose(x.decoded(), images.x_train / 255, rtol=1e-6)
    np.testing.assert_array_equal(y, images.y_train)
    np.testing.assert_allclose(x_validation.decoded(), images.x_test / 255, rtol=1e-6)
    np.testing.assert_array_equal(y_validation, images.y_test)
    assert (train_total, validation_total) == (100, TEST)  # of 110 the last 10 fill no batch


def test_grey_pixels_are_standardised_for_the_cnn(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch)
    (x, _), *_ = load("cnn", None, 50, "float32")
    np.testing.assert_allclose(
        x.decoded(), (pictures(0, 1, 28).x_train / 255 - 0.1307) / 0.3081, rtol=1e-5, atol=1e-6
    )


def test_cifar_is_its_first_pictures_wherever_they_come_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []

    def whole(data_dir: str | None, *, complete: bool) -> Any:
        calls.append(complete)
        one = np.zeros((1, 3072), np.uint8)
        x = {n: np.broadcast_to(one, (n, 3072)) for n in (50000, 10000)}
        y = {n: np.zeros(n, np.uint8) for n in (50000, 10000)}
        return pictures(0, 3, 4)._replace(
            x_train=x[50000], y_train=y[50000], x_test=x[10000], y_test=y[10000]
        )

    monkeypatch.setattr("experiments.deep.problems.load_cifar10", whole)
    small_data, full_data = (
        load("cifar", None, 128, "float32"),
        load("cifar-full", None, 256, "float32"),
    )
    assert calls == [False, True]
    assert [len(part[0]) for part in small_data[:2]] == [16000, 4000]
    assert [len(part[0]) for part in full_data[:2]] == [50000, 10000]
    assert (small_data.train_total, full_data.train_total) == (16000, 49920)
