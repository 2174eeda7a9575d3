"""Batch normalisation and dropout: adjoints, statistics by hand, masks that depend on nothing but
their key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import SGD, Chain, CrossEntropy, Dense, Streams, Tanh, fit
from aopnp.arrays import array_module, to_device, to_host
from aopnp.estimators import Step
from aopnp.nn import BatchNorm, ChannelDropout, Dropout
from aopnp.verify import adjoint
from tests.devices import ON_DEVICES, need

TRAINING = Step(3, training=True)
MODES = pytest.mark.parametrize("step", [TRAINING, Step()], ids=["training", "evaluation"])
DROPOUTS = pytest.mark.parametrize("kind", [Dropout, ChannelDropout])
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).filter(
    lambda shape: np.prod(shape) > 1
)


def prepared(layer, R, seed=0, dtype=np.float64, device="cpu"):
    """Return `layer` initialised for R runs as number 5 of a network, with values and tangents that
    are not special."""
    layer.initialise(Streams(seed, range(R)), dtype, device, 5)
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.value += to_device(rng.normal(size=parameter.value.shape).astype(dtype), device)
        parameter.tangent = to_device(rng.normal(size=parameter.value.shape).astype(dtype), device)
    if isinstance(layer, BatchNorm):
        R_N = (R, layer.features)
        layer.restore(
            {
                "mean": rng.normal(size=R_N).astype(dtype),
                "variance": rng.uniform(0.5, 2, R_N).astype(dtype),
            }
        )
        layer.restore({name: to_device(value, device) for name, value in layer.saved().items()})
    return layer


LAYERS = {
    "norm": BatchNorm,
    "dropout": lambda N: Dropout(0.4),
    "channel dropout": lambda N: ChannelDropout(0.4),
}
EACH = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@EACH
@MODES
@given(st.integers(1, 3), shapes, st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
def test_backward_is_the_adjoint_of_tangent_which_is_the_derivative(
    make, step, R, rows, N, shared, seed
):
    rng = np.random.default_rng(seed)
    layer = prepared(make(N), R, seed)
    x = rng.normal(size=(1 if shared else R, *rows, N))
    y = layer.forward(x, step)
    u, saved = rng.normal(size=(len(y), *rows, N)), layer.saved()
    adjoint.adjoint(layer, x, rng.normal(size=y.shape), u, step)
    # Rows that nearly coincide are divided by sqrt(eps) = 3e-3: a bend that costs h = 1e-6 about (h
    # / 3e-3)^2.
    adjoint.tangent_is_derivative(layer, x, u, tolerance=1e-6, step=step)
    layer.restore(saved)


@EACH
@MODES
def test_tangent_broadcasts_over_leading_axes(make, step):
    rng = np.random.default_rng(0)
    layer = prepared(make(4), 2)
    layer.forward(rng.normal(size=(2, 3, 5, 6, 4)), step)
    u = rng.normal(size=(7, 2, 3, 5, 6, 4))
    np.testing.assert_allclose(
        layer.tangent(u), [layer.tangent(each) for each in u], rtol=1e-13, atol=1e-15
    )


@EACH
@MODES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("N", [1, 4, 17])
def test_a_stack_equals_each_alone_bit_for_bit(make, step, dtype, N):
    rng = np.random.default_rng(1)
    x, g = rng.normal(size=(2, 3, 9, 5, 6, N)).astype(dtype)
    layer = prepared(make(N), 3, dtype=dtype)
    results = [layer.forward(x, step), layer.backward(g, step), layer.tangent(g)]
    for r in range(3):
        alone = make(N)
        alone.initialise(Streams(0, [r]), dtype, index=5)
        for ours, theirs in zip(alone.parameters(), layer.parameters(), strict=True):
            ours.value, ours.tangent = theirs.value[r : r + 1], theirs.tangent[r : r + 1]
        if isinstance(layer, BatchNorm) and not step.training:
            alone.restore({name: value[r : r + 1] for name, value in layer.saved().items()})
        one = [
            alone.forward(x[r : r + 1], step),
            alone.backward(g[r : r + 1], step),
            alone.tangent(g[r : r + 1]),
        ]
        for stacked, single in zip(results, one, strict=True):
            assert stacked.dtype == dtype
            np.testing.assert_array_equal(stacked[r : r + 1], single)
        for ours, theirs in zip(alone.parameters(), layer.parameters(), strict=True):
            np.testing.assert_array_equal(theirs.grad[r : r + 1], ours.grad)


@EACH
@MODES
@ON_DEVICES
def test_devices_give_the_same_without_waiting(make, step, device):
    need(device)
    x, g = np.random.default_rng(2).normal(size=(2, 2, 6, 3, 5, 4))
    results = {}
    for where in ("cpu", device):
        layer = prepared(make(4), 2, device=where)
        inputs, above = to_device(x, where), to_device(g, where)

        def run(layer=layer, inputs=inputs, above=above):
            out = [layer.forward(inputs, step), layer.backward(above, step), layer.tangent(above)]
            return [*out, *(p.grad for p in layer.parameters()), *layer.saved().values()]

        if where == "cuda-sim":
            from aopnp.arrays.cuda_sim.device import no_waiting

            with no_waiting():
                out = run()
        else:
            out = run()
        assert all(array_module(each) is array_module(inputs) for each in out)
        results[where] = [to_host(each) for each in out]
    for got, expected in zip(results[device], results["cpu"], strict=True):
        np.testing.assert_array_equal(got == 0, expected == 0)  # the same mask
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


# Dropout


@DROPOUTS
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_mean(kind, rate):
    layer = prepared(kind(rate), 1)
    values = np.concatenate(
        [layer.forward(np.ones((1, 500, 100)), Step(t, training=True)).ravel() for t in range(4)]
    )
    assert set(np.unique(values)) == {0.0, 1 / (1 - rate)}
    deviation = np.sqrt(rate * (1 - rate) / values.size)
    assert abs((values > 0).mean() - (1 - rate)) < 4.5 * deviation
    assert abs(values.mean() - 1) < 4.5 * deviation / (1 - rate)


def mask(layer, step, shape=(1, 20, 30)):
    return layer.forward(np.ones(shape), Step(step, training=True)) > 0


def test_masks_belong_to_step_layer_run_and_seed():
    def of(step=0, number=5, run=0, seed=0):
        layer = Dropout(0.5)
        layer.initialise(Streams(seed, [run]), index=number)
        return mask(layer, step)

    for other in ({"step": 1}, {"number": 6}, {"run": 1}, {"seed": 1}):
        # Independent ones agree in half of the places.
        assert 0.4 < (of() == of(**other)).mean() < 0.6
    layer = prepared(Dropout(0.5), 1)
    np.testing.assert_array_equal(mask(layer, 0), of())
    mask(layer, 1)
    np.testing.assert_array_equal(mask(layer, 0), of())  # no state


def test_a_shared_input_gets_a_mask_for_each_run_and_one_for_replicas_of_one_run():
    layer = prepared(Dropout(0.5), 3)
    masks = mask(layer, 0)
    assert masks.shape == (3, 20, 30)
    assert len(np.unique(masks.reshape(3, -1), axis=0)) == 3
    layer.initialise(Streams(0, [2, 2]), index=5)
    assert mask(layer, 0).shape == (1, 20, 30)
    np.testing.assert_array_equal(mask(layer, 0, (2, 20, 30)), np.concatenate([masks[2:]] * 2))


def test_channel_dropout_drops_a_channel_of_an_example_everywhere():
    kept = mask(prepared(ChannelDropout(0.5), 2), 0, (2, 8, 5, 6, 7))
    assert (kept == kept[:, :, :1, :1]).all()
    assert 0.3 < kept[:, :, 0, 0].mean() < 0.7
    assert len(np.unique(kept[:, :, 0, 0].reshape(16, 7), axis=0)) > 8


@DROPOUTS
def test_dropout_is_the_identity_in_evaluation_and_at_rate_0(kind):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 5))
    for layer, step in ((prepared(kind(0.5), 2), Step()), (prepared(kind(0), 2), TRAINING)):
        for output in (layer.forward(x, step), layer.backward(x, step), layer.tangent(x)):
            np.testing.assert_array_equal(output, x)
    trained = prepared(kind(0.5), 2)
    trained.forward(x, TRAINING)
    trained.forward(x)
    # The mask of the last forward, and no other.
    np.testing.assert_array_equal(trained.backward(x), x)
    assert trained.backward(x, needs_input=False) is None


def test_dropout_does_not_hide_what_is_not_a_number():
    layer = prepared(Dropout(0.5), 1)
    assert np.isnan(layer.forward(np.full((1, 9, 9), np.nan), TRAINING)).all()


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, np.nan])
def test_a_rate_that_is_no_share_is_refused(rate):
    with pytest.raises(ValueError, match="expected a dropout rate of at least 0 and below 1, got"):
        Dropout(rate)


def test_dropout_without_streams_is_refused_in_training_alone():
    layer, x = Dropout(0.5), np.ones((1, 2, 3))
    assert layer.forward(x) is x
    with pytest.raises(
        ValueError, match=r"expected an initialised Dropout, .*call initialise\(streams\) first"
    ):
        layer.forward(x, TRAINING)


# Batch normalisation


def test_a_batch_is_normalised_feature_by_feature_and_replica_by_replica():
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 6)) * np.arange(1, 7) + np.arange(6) * 10
    layer = BatchNorm(6, eps=1e-12)
    layer.initialise(Streams(0, range(2)))
    z = layer.forward(x, TRAINING).reshape(2, -1, 6)
    np.testing.assert_allclose(z.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(z.var(1), 1, rtol=1e-9)


def test_running_statistics_by_hand():
    layer = BatchNorm(1, momentum=0.25, eps=1.0)
    layer.initialise(Streams(0, range(2)))
    layer.beta.value += 1
    layer.gamma.value *= 2  # neither is shared with the statistics
    # Means 2 and 1, variances 4 and 0, unbiased 8 and 0.
    x = np.array([[[0.0], [4.0]], [[1.0], [1.0]]])
    expected = 1 + 2 * (x - [[[2]], [[1]]]) / np.sqrt([[[5]], [[1]]])
    np.testing.assert_allclose(layer.forward(x, TRAINING), expected, rtol=1e-14)
    np.testing.assert_array_equal(layer.saved()["mean"], [[0.5], [0.25]])
    np.testing.assert_array_equal(layer.saved()["variance"], [[0.75 + 2], [0.75]])
    layer.forward(x, TRAINING)
    np.testing.assert_array_equal(layer.saved()["mean"], [[0.875], [0.4375]])
    np.testing.assert_array_equal(layer.saved()["variance"], [[0.75 * 2.75 + 2], [0.5625]])
    expected = 1 + 2 * (x - [[[0.875]], [[0.4375]]]) / np.sqrt([[[5.0625]], [[1.5625]]])
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-14)


def test_only_a_training_forward_moves_the_running_statistics():
    layer, x = prepared(BatchNorm(4), 2), np.random.default_rng(0).normal(size=(2, 5, 4))
    layer.forward(x, TRAINING)
    before = {name: value.copy() for name, value in layer.saved().items()}
    layer.backward(x, TRAINING)
    layer.tangent(x)
    layer.forward(3 + x)
    layer.backward(x)
    layer.tangent(x)
    for name, value in layer.saved().items():
        np.testing.assert_array_equal(value, before[name])
    layer.forward(3 + x, TRAINING)
    for name, value in layer.saved().items():
        assert (value != before[name]).all()


def test_saved_statistics_are_taken_over_and_do_not_change_any_more():
    layer, x = prepared(BatchNorm(4), 2), np.random.default_rng(0).normal(size=(2, 5, 4))
    saved = layer.saved()
    evaluated = layer.forward(x)
    layer.forward(3 + x, TRAINING)
    assert (layer.forward(x) != evaluated).all()
    layer.restore(saved)
    np.testing.assert_array_equal(layer.forward(x), evaluated)


@ON_DEVICES
def test_statistics_saved_on_the_host_are_restored_to_the_device(device):
    need(device)
    layer = prepared(BatchNorm(4), 2, device=device)
    layer.restore({name: to_host(value) for name, value in layer.saved().items()})
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    got = to_host(layer.forward(to_device(x, device)))
    np.testing.assert_allclose(got, prepared(BatchNorm(4), 2).forward(x), rtol=1e-13)


@pytest.mark.parametrize("M", [64, 40_000])
def test_a_mean_far_from_zero_costs_float32_little(M):
    x = np.random.default_rng(0).normal(1e3, 1, size=(1, M, 3)).astype(np.float32)
    layer = BatchNorm(3)
    layer.initialise(Streams(), np.float32)
    exact = x.astype(np.float64)
    expected = (exact - exact.mean(1)) / np.sqrt(exact.var(1) + 1e-5)
    got = layer.forward(x, TRAINING)
    assert got.dtype == np.float32
    # Half a unit in the last place of the mean, 1e3 2^-24, is all that is lost; E[x^2] - E[x]^2
    # would lose 0.1.
    assert np.abs(got - expected).max() < 1e-4
    np.testing.assert_allclose(
        layer.saved()["variance"], 0.9 + 0.1 * exact.var(1, ddof=1), rtol=1e-5
    )


def test_what_is_not_a_number_stays_in_its_feature_and_replica():
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    x[1, 2, 0] = np.nan
    y = prepared(BatchNorm(3), 2).forward(x, TRAINING)
    np.testing.assert_array_equal(np.isnan(y).all(1), [[False] * 3, [True, False, False]])
    assert np.isnan(y).sum() == 5


def test_wrong_inputs_get_a_sentence():
    layer = BatchNorm(3)
    with pytest.raises(
        ValueError, match=r"expected an initialised BatchNorm\(3\), .*initialise\(streams\) first"
    ):
        layer.forward(np.ones((1, 4, 3)))
    layer.initialise(Streams(0, range(2)))
    for shape in [(1, 4, 2), (4, 3), (3, 4, 3)]:
        with pytest.raises(
            ValueError,
            match=r"expected inputs \[R or 1, M, ..., N\] with R = 2 and N = 3, got shape",
        ):
            layer.forward(np.ones(shape))
    with pytest.raises(TypeError, match="expected inputs of dtype float64, got float32"):
        layer.forward(np.ones((1, 4, 3), np.float32))
    for shape in [(2, 1, 3), (1, 1, 1, 1, 3)]:
        with pytest.raises(
            ValueError, match=r"BatchNorm\(3\): expected at least two rows or positions .*enlarge"
        ):
            layer.forward(np.ones(shape), TRAINING)
        assert layer.forward(np.ones(shape)).shape == (2, *shape[1:])
    assert layer.forward(np.ones((2, 1, 1, 2, 3)), TRAINING).shape == (2, 1, 1, 2, 3)
    for arguments in [(0,), (3, -0.1), (3, 1.1), (3, 0.1, 0)]:
        with pytest.raises(ValueError, match="expected at least one feature, a momentum"):
            BatchNorm(*arguments)


# Both in training


def train(runs, device="cpu", dtype=np.float64):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 48)
    x = (rng.normal(size=(48, 6)) + 2 * np.eye(3, 6)[labels]).astype(dtype)
    network = Chain(Dense(6, 8), BatchNorm(8), Tanh(), Dropout(0.2), Dense(8, 3))
    streams = Streams(0, runs)
    network.initialise(streams, dtype, device)
    x, labels = to_device(x, device), to_device(labels, device)
    data = {"streams": streams, "batch_size": 8, "epochs": 4, "validation": (x, labels)}
    history = fit(network, CrossEntropy(), SGD(0.3), (x, labels), **data)
    state = [p.value for p in network.parameters()] + list(network.layers[1].saved().values())
    return [to_host(each) for each in state], history


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_a_stack_equals_training_each_alone(dtype):
    together, history = train([0, 1, 2], dtype=dtype)
    for r in range(3):
        alone, single = train([r], dtype=dtype)
        for stacked, one in zip(together, alone, strict=True):
            np.testing.assert_array_equal(stacked[r], one[0])
        np.testing.assert_array_equal(history["val_loss"][:, r], single["val_loss"][:, 0])
    assert (history["val_loss"][-1] < 0.6 * history["val_loss"][0]).all()


@ON_DEVICES
def test_training_on_a_device_ends_at_the_same_values(device):
    need(device)
    for got, expected in zip(train([0, 1], device)[0], train([0, 1])[0], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
