"""The same program on a device: same rows, same results, no mixing, no waiting inside a step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aopnp import (
    AOP,
    SGD,
    Chain,
    CrossEntropy,
    Dense,
    Exact,
    MeanSquaredError,
    NoMemory,
    QueueMemory,
    ReLU,
    ResidualMemory,
    RowMemory,
    Softmax,
    Streams,
    Tanh,
    fit,
    randk,
    topk,
    weightedk,
)
from aopnp.arrays import array_module, to_device, to_host
from aopnp.arrays.backend import probe
from aopnp.arrays.cuda_sim import thread_order
from aopnp.arrays.kernels import KERNELS, select
from aopnp.estimators import Step, Watched, side_by_side
from aopnp.nn import Sigmoid
from aopnp.training import epoch_noise
from aopnp.training.rules import backprop
from aopnp.verify import recorded, spellings
from tests.devices import ON_DEVICES, need

MEMORIES = [NoMemory(), RowMemory(0.9), ResidualMemory(), QueueMemory(5)]
ORDERS = st.tuples(st.sampled_from(["forward", "reverse", "random"]), st.integers(0, 99))
ESTIMATORS = [
    Exact(),
    *(AOP(p, k, m) for m in MEMORIES for p, k in ((topk, 3), (weightedk, 2), (randk, 8))),
]


@ON_DEVICES
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@settings(max_examples=25)
@given(data=st.data())
def test_every_kernel_equals_its_reference(kernel, device, data):
    need(device)
    special = bool(kernel.cuda) and data.draw(st.booleans())
    with thread_order(*data.draw(ORDERS)):
        spellings.agree(kernel, *data.draw(spellings.arguments(kernel, special=special)), device)


@ON_DEVICES
@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize("name", ["log_norms", "accumulate", "gather"])
def test_rows_longer_than_a_block_has_threads(name, order, device):
    need(device)
    kernel, rng = KERNELS[name], np.random.default_rng(0)
    sizes = {"R": 2, "M": 3, "N": 300, "P": 129, "K": 2}
    for dtype in (np.float32, np.float64):
        arrays = []
        for spec in kernel.inputs:
            shape = [sizes[x.removesuffix("|1")] for x in spec.axes]
            high = {"rows": sizes["M"], "count": sizes["K"] + 1, "cleared": 2}.get(spec.name, 5)
            values = rng.integers(1 if spec.name == "count" else 0, high, shape)
            arrays.append(values.astype(dtype if spec.dtype == "T" else spec.dtype))
        with thread_order(order):
            spellings.agree(kernel, arrays, {}, device)


@ON_DEVICES
@settings(max_examples=12)
@given(
    st.integers(1, 3),
    st.integers(1, 400),
    st.sampled_from([2, 10**9]),
    st.integers(0, 10**6),
    ORDERS,
)
def test_selection_among_many_rows(device, R, S, distinct, seed, order):
    need(device)
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, distinct, (R, S)).astype(float)
    keys[rng.random((R, S)) < 0.05] = np.nan
    count = rng.integers(1, S + 1, R)
    with thread_order(*order):
        spellings.agree(
            select,
            [keys, np.zeros((1, S)), np.ones(R), np.zeros(R), count],
            {"K": int(count.max())},
            device,
        )


def train(device, estimators, dtype, epochs=2, watch=False):
    """Train a small classifier with one estimator a replica; return (selections, weights,
    history)."""
    rng = np.random.default_rng(0)
    x, labels = (
        to_device(rng.normal(size=(40, 6)).astype(dtype), device),
        to_device(rng.integers(0, 4, 40), device),
    )
    selections = []

    def layer(inputs, outputs):
        watched = [
            AOP(recorded(e.policy, selections), e.k, e.memory) if isinstance(e, AOP) else e
            for e in estimators
        ]
        together = side_by_side(watched)
        return Dense(inputs, outputs, Watched(together) if watch else together)

    network, streams = (
        Chain(layer(6, 5), Tanh(), layer(5, 4), Softmax()),
        Streams(0, [0] * len(estimators)),
    )
    network.initialise(streams, dtype, device)
    history = fit(
        network,
        CrossEntropy(),
        SGD(0.5, 0.5),
        (x, labels),
        streams=streams,
        batch_size=8,
        epochs=epochs,
        validation=(x, labels),
    )
    return (
        [to_host(s.rows) for s in selections],
        [to_host(p.value) for p in network.parameters()],
        history,
    )


@ON_DEVICES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_chooses_the_same_rows_and_ends_at_the_same_weights(device, dtype):
    need(device)
    rows, weights, history = train(device, ESTIMATORS, dtype)
    rows_cpu, weights_cpu, history_cpu = train("cpu", ESTIMATORS, dtype)
    assert len(rows) == len(rows_cpu) > 0
    for got, expected in zip(rows, rows_cpu, strict=True):
        np.testing.assert_array_equal(got, expected)
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    for got, expected in zip(weights, weights_cpu, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    for name in history_cpu.curves:
        assert type(history[name]) is np.ndarray
        np.testing.assert_allclose(history[name], history_cpu[name], rtol=tolerance)


@ON_DEVICES
def test_a_stack_on_a_device_equals_each_alone_to_rounding(device):
    need(device)
    _, together, _ = train(device, ESTIMATORS, np.float64)
    for r in (0, 3, 6, 10, len(ESTIMATORS) - 1):
        _, alone, _ = train(device, [ESTIMATORS[r]], np.float64)
        for stacked, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(stacked[r], one[0], rtol=1e-12, atol=1e-12)


@ON_DEVICES
def test_the_watcher_works_there_too(device):
    need(device)
    _, _, history = train(device, [AOP(topk, 3, RowMemory())] * 2, np.float64, watch=True)
    _, _, expected = train("cpu", [AOP(topk, 3, RowMemory())] * 2, np.float64, watch=True)
    np.testing.assert_allclose(history["running_error/0"], expected["running_error/0"], rtol=1e-10)


@ON_DEVICES
@pytest.mark.parametrize("activation", [ReLU, Sigmoid, Tanh, Softmax])
def test_every_layer_and_loss_gives_arrays_of_the_kind_it_got(device, activation):
    need(device)
    results = {}
    for where in ("cpu", device):
        rng = np.random.default_rng(0)
        network = Chain(Dense(3, 4), activation(), Dense(4, 1))
        network.initialise(Streams(0, [0, 1]), np.float64, where)
        x, t, u = (
            to_device(a, where)
            for a in (rng.normal(size=(1, 5, 3)), rng.normal(size=(2, 5, 1)), np.ones((2, 5, 3)))
        )
        loss = MeanSquaredError()
        value = loss.forward(network.forward(x), t)
        back, forth = network.backward(loss.backward()), network.tangent(u)
        for array in (value, back, forth, loss.tangent(forth)):
            assert array_module(array) is array_module(x)
        results[where] = [to_host(a) for a in (value, back, forth)]
    for got, expected in zip(results[device], results["cpu"], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "estimator", [*ESTIMATORS, Watched(ESTIMATORS[4]), side_by_side(ESTIMATORS)]
)
def test_a_training_step_never_waits_for_the_device(estimator):
    need("cuda-sim")
    from aopnp.arrays.cuda_sim.device import no_waiting

    R = len(ESTIMATORS)
    network, streams = Dense(3, 2, estimator), Streams(0, range(R))
    network.initialise(streams, np.float64, "cuda-sim")
    x, labels = (
        to_device(np.ones((R, 8, 3)), "cuda-sim"),
        to_device(np.zeros((R, 8), int), "cuda-sim"),
    )
    noise = {
        layer: to_device(each, "cuda-sim")
        for layer, each in epoch_noise(network, streams, 1, 2, 8).items()
    }
    optimiser, loss = SGD(0.1, 0.5), CrossEntropy()
    with no_waiting():
        for t in range(2):
            step = Step(
                t, optimiser.lr(t), {layer: each[t] for layer, each in noise.items()}, training=True
            )
            _, y = backprop(network, loss, x, labels, step)
            loss.correct(y, labels)
            optimiser.update(network.parameters(), step)
    assert np.isfinite(to_host(network.weight.value)).all()


@ON_DEVICES
def test_mixing_devices_is_an_error_that_names_both(device):
    need(device)
    there, here = to_device(np.ones((1, 2, 3)), device), np.ones((1, 2, 3))
    with pytest.raises(TypeError, match=r"expected arrays of one kind, got .* and numpy together"):
        KERNELS["log_norms"](there, here)
    network = Dense(3, 2)
    network.initialise(Streams(), np.float64, device)
    with pytest.raises(TypeError):
        network.forward(here)
    with pytest.raises(TypeError):
        there + here


def test_the_simulated_device_is_as_strict_as_a_gpu():
    need("cuda-sim")
    from aopnp.arrays.cuda_sim import device as xp

    x = xp.asarray(np.arange(6.0).reshape(2, 3))
    for refused in (
        lambda: np.asarray(x),
        lambda: xp.where(x > 1, np.ones((2, 3)), x),
        lambda: x[np.array([0])],
    ):
        with pytest.raises(TypeError, match="device"):
            refused()
    assert array_module(np.exp(x), x.sum(0), x[1:], x.max(), -x) is xp  # all of them stay there
    assert (float(x.sum()), bool((x == x).all()), len(x), x.shape) == (15.0, True, 2, (2, 3))
    with xp.no_waiting(), pytest.raises(RuntimeError, match="waits for the device"):
        float(x.sum())
    host = np.zeros(2)
    xp.asarray(host)[...] = 1  # a copy: host memory is another memory
    assert not host.any()


def test_unknown_and_missing_devices_get_a_sentence():
    with pytest.raises(ValueError, match="expected a device among cpu, gpu, cuda-sim, got 'tpu'"):
        to_device(np.ones(1), "tpu")
    assert probe("cpu")[0]
