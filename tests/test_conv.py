"""The convolution: against a sliding window, its adjoint, its variance when channels are sampled,
training."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import AOP, SGD, Chain, CrossEntropy, Dense, Exact, ReLU, RowMemory, Streams, fit, topk
from aopnp.arrays.kernels import add_patch_products
from aopnp.estimators import Step, side_by_side
from aopnp.estimators.outer_products import dense
from aopnp.estimators.policies import bernoulli
from aopnp.estimators.policies.water_filled import water_filled
from aopnp.estimators.term_counts import Ratio
from aopnp.nn import Conv2d, Flatten, KaimingNormal, MaxPool2d, Unflatten
from aopnp.nn.patch_products import PatchProducts
from aopnp.nn.unfold import Geometry, unfold_images
from aopnp.verify import adjoint

blocks = sys.modules[add_patch_products.cpu.__module__]
GEOMETRIES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2))


def sliding_window(layer, x):
    """The definition: a sum over the taps and channels that each output position sees."""
    (A, B), stride, padding = layer.geometry.kernel, layer.geometry.stride, layer.geometry.padding
    w = layer.weight.value.reshape(len(layer.weight.value), A, B, layer.channels, layer.outputs)
    wide = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding), (0, 0)))
    I, J = layer.geometry.positions(*x.shape[2:4])  # noqa: E741 - an axis
    y = np.zeros((len(w), x.shape[1], I, J, layer.outputs))
    for i in range(I):
        for j in range(J):
            seen = wide[:, :, i * stride : i * stride + A, j * stride : j * stride + B]
            y[:, :, i, j] = np.einsum(
                "rmabc,rabcp->rmp", np.broadcast_to(seen, (len(w), *seen.shape[1:])), w
            )
    return y + layer.bias.value[:, None, None, None]


@given(GEOMETRIES, st.integers(1, 2), st.booleans(), st.integers(0, 10**6))
def test_equals_a_sliding_window_exactly_on_integers(geometry, R, shared, seed):
    A, B, stride, padding = geometry
    rng = np.random.default_rng(seed)
    layer = Conv2d(2, 3, (A, B), stride, padding)
    layer.initialise(Streams(0, range(R)))
    for parameter in layer.parameters():
        parameter.value[...] = rng.integers(-4, 5, parameter.value.shape)
    x = rng.integers(-4, 5, (1 if shared else R, 3, 4, 5, 2)).astype(float)
    np.testing.assert_array_equal(layer.forward(x), sliding_window(layer, x))


@given(GEOMETRIES, st.integers(1, 2), st.booleans(), st.integers(0, 10**6))
def test_backward_is_the_adjoint_of_tangent_which_is_the_derivative(geometry, R, shared, seed):
    A, B, stride, padding = geometry
    rng = np.random.default_rng(seed)
    layer = Conv2d(2, 3, (A, B), stride, padding)
    layer.initialise(Streams(0, range(R)))
    for parameter in layer.parameters():
        parameter.tangent = rng.normal(size=parameter.value.shape)
    x, u = rng.normal(size=(1 if shared else R, 3, 4, 5, 2)), rng.normal(size=(R, 3, 4, 5, 2))
    g = rng.normal(size=layer.forward(x).shape)
    adjoint.adjoint(layer, x, g, u, Step())
    adjoint.tangent_is_derivative(layer, x, u)
    layer.forward(x)
    many = rng.normal(size=(2, 2, R, 3, 4, 5, 2))
    expected = [[layer.tangent(u) for u in several] for several in many]
    np.testing.assert_allclose(layer.tangent(many), expected, rtol=1e-13, atol=1e-13)


def test_the_variance_of_channel_sampling_is_that_of_the_true_channel_norms():
    """E |sampled - exact|^2 = sum over c of (1 - p) / p |X_c * W_c|^2: the product of norms is only
    a proxy."""
    draws, rng, k = 20_000, np.random.default_rng(0), 3
    layer = Conv2d(6, 4, 3, 1, 1, forward=AOP(bernoulli, k))
    layer.initialise(Streams(0, [0] * draws))
    x = rng.normal(size=(1, 2, 4, 4, 6)) * np.array([1, 2, 0.3, 4, 1, 0.5])
    exact = layer.forward(x)[0]
    sampled = layer.forward(x, Step(noise={layer: rng.gumbel(size=(draws, 6))}, training=True))
    squares = np.square(sampled - exact).reshape(draws, -1).sum(-1)

    w = layer.weight.value[0].reshape(9, 6, 4)
    norms = np.linalg.norm(x.reshape(-1, 6), axis=0) * np.linalg.norm(
        w.swapaxes(0, 1).reshape(6, -1), axis=1
    )
    p = water_filled(norms[None], np.array([k]))[0]
    channels = []
    for c in range(6):
        alone = Conv2d(1, 4, 3, 1, 1)
        alone.initialise(Streams(0))
        alone.weight.value[...], alone.bias.value[...] = w[:, c], 0
        channels.append(np.square(alone.forward(x[..., c : c + 1])).sum())
    expected = ((1 - p) / p * np.array(channels)).sum()
    proxy = ((1 - p) / p * norms**2).sum()
    spread = squares.std() / np.sqrt(draws)
    assert abs(squares.mean() - expected) < 4.5 * spread
    assert abs(squares.mean() - proxy) > 20 * spread  # the test can tell them apart


@pytest.mark.parametrize("unit", ["patch", "example"])
def test_an_unbiased_weight_gradient_costs_less_and_its_error_shrinks_with_k(unit):
    rng, errors = np.random.default_rng(0), {}
    for ratio in (0.25, 0.5, 0.75):
        layer = Conv2d(3, 4, 3, 1, 1, AOP(bernoulli, Ratio(ratio)), unit=unit)
        layer.initialise(Streams(0, [0] * 200))
        x = np.random.default_rng(1).normal(size=(1, 8, 6, 6, 3))
        g = np.repeat(np.random.default_rng(2).normal(size=(1, 8, 6, 6, 4)), 200, axis=0)
        layer.forward(x)
        exact = layer.x[0].T @ g[0].reshape(-1, 4)
        layer.forward(x)
        layer.backward(
            g, Step(noise={layer: rng.gumbel(size=(200, layer.noise_slots(8)))}, training=True)
        )
        errors[ratio] = np.square(dense(layer.weight.grad) - exact).mean()
    assert errors[0.25] > 1.5 * errors[0.5] > 2 * errors[0.75] > 0


def pairs(rng, geometry, count, K, shared=False, dtype=np.float64):
    """Return integer-valued pairs of images [R or 1, K, 5, 6, 2] and of gradients for three
    outputs."""
    R, (I, J) = len(count), geometry.positions(5, 6)  # noqa: E741 - an axis
    a = rng.integers(-4, 5, (1 if shared else R, K, 5, 6, 2)).astype(dtype)
    b = rng.integers(-4, 5, (R, K, I, J, 3)).astype(dtype)
    return PatchProducts(a, b, np.array(count), geometry)


def multiplied_out(products):
    """The definition: rows of patches, transposed, times rows of gradients, of what is counted."""
    rows, (I, J) = unfold_images(products.a, products.geometry), products.b.shape[2:4]  # noqa: E741 - an axis
    ends = products.count * I * J
    g = products.b.reshape(len(products.b), -1, products.b.shape[-1])
    return np.stack([rows[r % len(rows), :end].T @ g[r, :end] for r, end in enumerate(ends)])


@pytest.mark.parametrize("block", [1, 200, 2**19])
@given(
    GEOMETRIES,
    st.lists(st.integers(0, 7), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_pairs_of_images_are_multiplied_out_in_blocks_without_im2col(
    block, geometry, count, shared, seed
):
    A, B, stride, padding = geometry
    rng = np.random.default_rng(seed)
    dtype = rng.choice([np.float32, np.float64])
    products = pairs(rng, Geometry((A, B), stride, padding), count, 7, shared, dtype)
    expected = multiplied_out(products)
    w, scale = (
        rng.integers(-9, 10, expected.shape).astype(dtype),
        rng.integers(-3, 4, len(count)).astype(float),
    )
    as_stored, other = w.swapaxes(-1, -2).copy().swapaxes(-1, -2), w.copy()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "BLOCK", block)
        got = products.dense()
        products.add_to(as_stored, scale)
        products.add_to(other, scale)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, expected)
    for moved in (as_stored, other):
        np.testing.assert_array_equal(moved, w + scale[:, None, None] * expected)


def test_padding_of_a_short_list_is_neither_unfolded_nor_multiplied():
    """On the CPU: what lies beyond count may be anything."""
    products = pairs(np.random.default_rng(0), Geometry((3, 3), 1, 1), [2, 0, 5], 5)
    expected = multiplied_out(products)
    for r, n in enumerate(products.count):
        products.a[r, n:] = products.b[r, n:] = np.nan
    np.testing.assert_array_equal(products.dense(), expected)


@pytest.mark.parametrize("block", [1, 2**19])
def test_each_replica_adds_up_as_it_does_alone_bit_for_bit(block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    rng, count, geometry = np.random.default_rng(0), np.array([7, 3, 5]), Geometry((3, 2), 2, 1)
    shapes = (3, 7, 9, 8, 4), (3, 7, *geometry.positions(9, 8), 5)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    together = PatchProducts(a, b, count, geometry).dense()
    for r, n in enumerate(count):
        alone = PatchProducts(
            a[r : r + 1, :n].copy(), b[r : r + 1, :n].copy(), count[r : r + 1], geometry
        )
        np.testing.assert_array_equal(together[r], alone.dense()[0])


def test_what_goes_wrong_in_a_kept_pair_is_seen():
    products = pairs(np.random.default_rng(0), Geometry((3, 3), 1, 1), [2], 3)
    products.a[0, 1, 0, 0, 1] = np.nan  # the corner: taps that never see it stay finite
    with np.errstate(invalid="ignore"):
        wrong = np.isnan(products.dense()).reshape(3, 3, 2, 3)
    assert wrong[:2, :2, 1].all()
    assert wrong.sum() == 2 * 2 * 3


def test_exact_by_example_is_exact_by_patch_and_costs_the_same():
    rng, results = np.random.default_rng(0), {}
    x, g = rng.normal(size=(2, 5, 7, 6, 3)), rng.normal(size=(2, 5, 4, 3, 4))
    for unit in ("patch", "example"):
        layer = Conv2d(3, 4, 3, 2, 1, unit=unit)
        layer.initialise(Streams(0, range(2)))
        layer.forward(x, Step(training=True))
        layer.backward(g, Step(training=True))
        results[unit] = dense(layer.weight.grad), layer.spent()
    (by_patch, costs), (by_example, costs_by_example) = results.values()
    np.testing.assert_allclose(by_example, by_patch, rtol=1e-12, atol=1e-12)
    for name, cost in costs.items():
        np.testing.assert_array_equal(costs_by_example[name], cost)


def network(estimator):
    return Chain(
        Unflatten(6, 6, 1),
        Conv2d(1, 3, 3, 1, 1, estimator, unit="example", init=KaimingNormal()),
        MaxPool2d(2),
        ReLU(),
        Flatten(),
        Dense(27, 3, estimator),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stack_of_convolutional_networks_trains_as_each_alone_bit_for_bit(dtype):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 36)).astype(dtype), rng.integers(0, 3, 40)

    def train(estimators):
        net, streams = network(side_by_side(estimators)), Streams(0, [0] * len(estimators))
        net.initialise(streams, dtype)
        history = fit(
            net, CrossEntropy(), SGD(0.1, 0.5), data, streams=streams, batch_size=8, epochs=2
        )
        return [parameter.value for parameter in net.parameters()], history

    estimators = [Exact(), AOP(topk, 3), AOP(topk, 4, RowMemory(0.9)), AOP(topk, 2, RowMemory())]
    together, history = train(estimators)
    for r, estimator in enumerate(estimators):
        alone, own = train([estimator])
        for stacked, one in zip(together, alone, strict=True):
            np.testing.assert_array_equal(stacked[r], one[0])
        np.testing.assert_array_equal(history["train_loss"][:, r], own["train_loss"][:, 0])
        np.testing.assert_array_equal(history["flops"][:, r], own["flops"][:, 0])
    assert history["train_loss"][-1, 0] < history["train_loss"][0, 0]
    assert (history["flops"][:, 1] < history["exact_flops"][:, 1]).all()
