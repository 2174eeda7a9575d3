"""The table of layers: one law for all of them, in training and in evaluation, on every device."""

import inspect

import numpy as np
import pytest

from aopnp import Chain, Streams, nn
from aopnp.arrays import to_device, to_host
from aopnp.estimators.outer_products import dense
from aopnp.estimators.step import EVALUATION, Step
from aopnp.nn import Activation
from aopnp.nn.layer import Layer
from aopnp.nn.soft_weights import Levels
from aopnp.verify import adjoint
from tests.devices import ON_DEVICES, need

ROWS, IMAGES = (3, 6), (3, 4, 4, 6)
LAYERS = {
    nn.AveragePool2d: (lambda: nn.AveragePool2d(2), IMAGES),
    nn.BatchNorm: (lambda: nn.BatchNorm(6), IMAGES),
    nn.BinaryConv2d: (lambda: nn.BinaryConv2d(6, 5, 3, 1, 1, masked=True), IMAGES),
    nn.BinaryDense: (lambda: nn.BinaryDense(6, 5, storage=Levels(5)), ROWS),
    nn.Chain: (lambda: nn.Chain(nn.Dense(6, 5), nn.Tanh()), ROWS),
    nn.ChannelDropout: (lambda: nn.ChannelDropout(0.5), IMAGES),
    nn.Conv2d: (lambda: nn.Conv2d(6, 5, 3, 1, 1), IMAGES),
    nn.Dense: (lambda: nn.Dense(6, 5), ROWS),
    nn.Dropout: (lambda: nn.Dropout(0.5), ROWS),
    nn.Flatten: (nn.Flatten, IMAGES),
    nn.GlobalAveragePool: (nn.GlobalAveragePool, IMAGES),
    nn.MaxPool2d: (lambda: nn.MaxPool2d(3, 2), IMAGES),
    nn.RandomCropFlip: (lambda: nn.RandomCropFlip(1), IMAGES),
    nn.ReLU: (nn.ReLU, ROWS),
    nn.Residual: (
        lambda: nn.Residual(nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm(6), nn.Tanh()),
        IMAGES,
    ),
    nn.Sign: (nn.Sign, ROWS),
    nn.Sigmoid: (nn.Sigmoid, ROWS),
    nn.Softmax: (nn.Softmax, ROWS),
    nn.Tanh: (nn.Tanh, IMAGES),
    nn.Unflatten: (lambda: nn.Unflatten(2, 3, 1), ROWS),
    nn.Unfold: (lambda: nn.Unfold(3, 1, 1), IMAGES),
}
STRAIGHT_THROUGH = nn.Sign, nn.BinaryConv2d, nn.BinaryDense
"""Stairs, whose derivative is 0 or nothing: their tangent is that of an estimator."""
EACH = pytest.mark.parametrize(
    ("make", "shape"), LAYERS.values(), ids=[kind.__name__ for kind in LAYERS]
)
STEPS = pytest.mark.parametrize(
    "step", [EVALUATION, Step(index=3, training=True)], ids=["evaluation", "training"]
)


def test_every_layer_is_in_the_table():
    exported = [getattr(nn, name) for name in nn.__all__]
    kinds = {kind for kind in exported if inspect.isclass(kind) and issubclass(kind, Layer)}
    assert kinds - {Layer, Activation} == LAYERS.keys()


def prepared(make, shape, dtype=np.float64, device="cpu", R=2):
    """Return (layer with random values and tangents, inputs, outputs' gradients, directions)."""
    rng, layer = np.random.default_rng(0), make()
    layer.initialise(Streams(0, range(R)), dtype, device)
    for parameter in layer.parameters():
        if (
            parameter.value.dtype == dtype
        ):  # bytes that stand for soft weights stay as they were drawn
            parameter.value[...] = to_device(
                rng.normal(size=parameter.value.shape).astype(dtype), device
            )
        parameter.tangent = to_device(rng.normal(size=parameter.shape).astype(dtype), device)
    x, u = (to_device(rng.normal(size=(R, *shape)).astype(dtype), device) for _ in range(2))
    y = layer.forward(x)
    return layer, x, to_device(rng.normal(size=y.shape).astype(dtype), device), u


@EACH
@STEPS
def test_backward_is_the_adjoint_of_tangent_which_is_the_derivative(make, shape, step):
    layer, x, g, u = prepared(make, shape)
    adjoint.adjoint(layer, x, g, u, step)
    if not isinstance(layer, STRAIGHT_THROUGH):
        adjoint.tangent_is_derivative(layer, x, u, step=step)


@EACH
@STEPS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stack_is_each_alone_bit_for_bit_and_the_dtype_stays(make, shape, step, dtype):
    layer, x, g, u = prepared(make, shape, dtype)
    stacked = [layer.forward(x, step), layer.backward(g, step), layer.tangent(u)]
    stacked += [dense(parameter.grad) for parameter in layer.parameters()]
    for r in range(2):
        alone = make()
        alone.initialise(Streams(0, [r]), dtype)
        for one, parameter in zip(alone.parameters(), layer.parameters(), strict=True):
            one.value[...], one.tangent = parameter.value[r : r + 1], parameter.tangent[r : r + 1]
        own = [
            alone.forward(x[r : r + 1], step),
            alone.backward(g[r : r + 1], step),
            alone.tangent(u[r : r + 1]),
        ]
        own += [dense(parameter.grad) for parameter in alone.parameters()]
        for together, single in zip(stacked, own, strict=True):
            assert together.dtype == single.dtype == dtype
            np.testing.assert_array_equal(together[r], single[0])


@EACH
@STEPS
def test_a_shared_input_is_the_same_input_for_all(make, shape, step):
    layer, x, _, _ = prepared(make, shape)
    shared = layer.forward(x[:1], step)
    if layer.parameters() or (step.training and isinstance(layer, nn.Dropout | nn.RandomCropFlip)):
        assert len(shared) == 2
    np.testing.assert_array_equal(
        np.broadcast_to(shared, (2, *shared.shape[1:])), layer.forward(x[[0, 0]], step)
    )


@ON_DEVICES
@EACH
@STEPS
def test_a_device_computes_the_same(make, shape, step, device):
    need(device)
    results = []
    for where in ("cpu", device):
        layer, x, g, u = prepared(make, shape, device=where)
        passes = [layer.forward(x, step), layer.backward(g, step), layer.tangent(u)]
        results.append(
            [to_host(a) for a in (*passes, *(dense(p.grad) for p in layer.parameters()))]
        )
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@EACH
def test_a_gradient_that_nobody_needs_is_not_computed(make, shape):
    layer, _, g, _ = prepared(make, shape)
    assert layer.backward(g, needs_input=False) is None
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_all_layers_at_once_in_one_chain():
    chain = Chain(
        *(
            nn.Unflatten(4, 4, 6),
            nn.RandomCropFlip(1),
            nn.Conv2d(6, 4, 3),
            nn.BatchNorm(4),
            nn.ReLU(),
        )
    )
    network = Chain(
        chain, nn.MaxPool2d(2), nn.ChannelDropout(0.5), nn.Flatten(), nn.Dense(4, 3), nn.Softmax()
    )
    adjoint.adjoint(*prepared(lambda: network, (5, 96)), Step(training=True))
