"""Layers of convolutional networks that have no parameters, and the kernels behind them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aopnp import Chain
from aopnp.arrays import array_module, to_device, to_host
from aopnp.arrays.kernels import (
    fold,
    gather_columns,
    log_column_squares,
    max_pool,
    scatter_columns,
    scatter_pixels,
    unfold,
)
from aopnp.estimators import Step
from aopnp.nn import AveragePool2d, Flatten, GlobalAveragePool, MaxPool2d, Unflatten, Unfold
from aopnp.nn.unfold import Geometry, fold_rows, row_squares, unfold_images
from aopnp.verify import adjoint, spellings
from tests.devices import ON_DEVICES, need

SEEDS = st.integers(0, 10**6)
DTYPES = st.sampled_from([np.float32, np.float64])
LAYERS = pytest.mark.parametrize(
    "kind", ["unfold", "max", "average", "global", "flatten", "unflatten"]
)


@st.composite
def shapes(draw):
    """A shape [R, M, H, W, C] of images."""
    return tuple(draw(st.integers(1, largest)) for largest in (3, 3, 6, 6, 3))


@st.composite
def geometries(draw, H, W):
    """A geometry that fits images H x W; kernels may be larger than the image without its frame."""
    padding = draw(st.integers(0, 2))
    kernel = (
        draw(st.integers(1, min(4, H + 2 * padding))),
        draw(st.integers(1, min(4, W + 2 * padding))),
    )
    return Geometry(kernel, draw(st.integers(1, 3)), padding)


@st.composite
def layers(draw, kind, H, W, C):
    """A layer of `kind` that takes images H x W of C channels."""
    if kind == "unfold":
        geometry = draw(geometries(H, W))
        return Unfold(geometry.kernel, geometry.stride, geometry.padding)
    if kind in ("max", "average"):
        kernel = draw(st.integers(1, H)), draw(st.integers(1, W))
        stride = draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)))
        return {"max": MaxPool2d, "average": AveragePool2d}[kind](kernel, stride)
    simple = {
        "global": GlobalAveragePool,
        "flatten": Flatten,
        "unflatten": lambda: Chain(Flatten(), Unflatten(H, W, C)),
    }
    return simple[kind]()


def distinct(rng, shape):
    """Random data whose values are at least 0.01 apart, so that small steps do not change which is
    largest."""
    return (rng.permutation(int(np.prod(shape))) * 0.01 - 1).reshape(shape)


def integers(rng, shape, dtype=np.float64):
    return rng.integers(-4, 5, shape).astype(dtype)


@LAYERS
@given(data=st.data(), shape=shapes(), shared=st.booleans(), seed=SEEDS)
def test_backward_is_the_adjoint_of_tangent_which_is_the_derivative(
    kind, data, shape, shared, seed
):
    rng, layer = np.random.default_rng(seed), data.draw(layers(kind, *shape[2:]))
    x, u = distinct(rng, (1, *shape[1:]) if shared else shape), rng.normal(size=shape)
    y = layer.forward(x)
    assert y.shape[:1] == x.shape[:1]
    adjoint.adjoint(layer, x, rng.normal(size=(shape[0], *y.shape[1:])), u, Step())
    adjoint.tangent_is_derivative(layer, x, u[: len(x)])


@LAYERS
@given(data=st.data(), shape=shapes(), shared=st.booleans(), dtype=DTYPES, seed=SEEDS)
def test_tangent_broadcasts_over_leading_axes(kind, data, shape, shared, dtype, seed):
    rng, layer = np.random.default_rng(seed), data.draw(layers(kind, *shape[2:]))
    layer.forward(rng.normal(size=(1, *shape[1:]) if shared else shape).astype(dtype))
    u = rng.normal(size=(2, 3, *shape)).astype(dtype)
    got = layer.tangent(u)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, [[layer.tangent(each) for each in row] for row in u])


@LAYERS
@given(data=st.data(), shape=shapes(), dtype=DTYPES, seed=SEEDS)
def test_a_stack_equals_each_alone(kind, data, shape, dtype, seed):
    rng, layer = np.random.default_rng(seed), data.draw(layers(kind, *shape[2:]))
    x, u = rng.normal(size=(2, *shape)).astype(dtype)
    g = rng.normal(size=layer.forward(x).shape).astype(dtype)

    def passes(r):
        return layer.forward(x[r]), layer.backward(g[r]), layer.tangent(u[r])

    together = passes(slice(None))
    for r in range(shape[0]):
        for stacked, alone in zip(together, passes(slice(r, r + 1)), strict=True):
            assert alone.dtype == dtype
            np.testing.assert_array_equal(stacked[r : r + 1], alone)


@LAYERS
@given(data=st.data(), shape=shapes(), dtype=DTYPES, seed=SEEDS)
def test_data_that_is_not_contiguous_gives_the_same(kind, data, shape, dtype, seed):
    rng, layer = np.random.default_rng(seed), data.draw(layers(kind, *shape[2:]))
    x = integers(rng, shape, dtype)
    y = layer.forward(x)
    g = integers(rng, y.shape, dtype)
    back, forth = layer.backward(g), layer.tangent(x)
    np.testing.assert_array_equal(layer.forward(np.asfortranarray(x)), y)
    np.testing.assert_array_equal(layer.backward(np.asfortranarray(g)), back)
    np.testing.assert_array_equal(layer.tangent(np.asfortranarray(x)), forth)


@ON_DEVICES
@LAYERS
@settings(max_examples=8)
@given(data=st.data(), shape=shapes(), shared=st.booleans(), dtype=DTYPES, seed=SEEDS)
def test_a_device_gives_the_same_without_waiting(kind, device, data, shape, shared, dtype, seed):
    need(device)
    rng, layer = np.random.default_rng(seed), data.draw(layers(kind, *shape[2:]))
    x, u = (
        rng.normal(size=(1, *shape[1:]) if shared else shape).astype(dtype),
        rng.normal(size=shape).astype(dtype),
    )
    g = rng.normal(size=(shape[0], *layer.forward(x).shape[1:])).astype(dtype)
    expected = layer.forward(x), layer.backward(g), layer.tangent(u[None])
    there = [to_device(array, device) for array in (x, g, u[None])]
    forbidden = array_module(there[0]).no_waiting if device == "cuda-sim" else np.errstate
    with forbidden():
        got = layer.forward(there[0]), layer.backward(there[1]), layer.tangent(there[2])
    for ours, theirs in zip(got, expected, strict=True):
        assert array_module(ours) is array_module(there[0])
        tolerance = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(to_host(ours), theirs, rtol=tolerance, atol=tolerance)


def patch(x, geometry, i, j):
    """Return the patch [R, M, A, B, C] of x at position (i, j), pixel by pixel."""
    (R, M, H, W, C), (A, B) = x.shape, geometry.kernel
    out = np.zeros((R, M, A, B, C), x.dtype)
    for a in range(A):
        for b in range(B):
            h, w = (
                i * geometry.stride + a - geometry.padding,
                j * geometry.stride + b - geometry.padding,
            )
            if 0 <= h < H and 0 <= w < W:
                out[:, :, a, b] = x[:, :, h, w]
    return out


@given(data=st.data(), shape=shapes(), dtype=DTYPES, seed=SEEDS)
def test_rows_are_the_patches_in_order(data, shape, dtype, seed):
    geometry = data.draw(geometries(*shape[2:4]))
    x, (R, M, H, W, _) = np.random.default_rng(seed).normal(size=shape).astype(dtype), shape
    I, J = geometry.positions(H, W)  # noqa: E741
    rows = unfold_images(x, geometry).reshape(R, M, I, J, -1)
    assert rows.dtype == dtype
    for i in range(I):
        for j in range(J):
            np.testing.assert_array_equal(
                rows[:, :, i, j], patch(x, geometry, i, j).reshape(R, M, -1)
            )
    # one more position in each direction would leave the frame
    far, right = (
        I * geometry.stride + geometry.kernel[0],
        J * geometry.stride + geometry.kernel[1],
    )
    assert far > H + 2 * geometry.padding
    assert right > W + 2 * geometry.padding


@given(data=st.data(), shape=shapes(), dtype=DTYPES, seed=SEEDS)
def test_fold_is_the_adjoint_of_unfold_exactly(data, shape, dtype, seed):
    geometry, rng = data.draw(geometries(*shape[2:4])), np.random.default_rng(seed)
    x = integers(rng, shape, dtype)
    rows = unfold_images(x, geometry)
    p = integers(rng, rows.shape, dtype)
    folded = fold_rows(p, geometry, *shape[2:4])
    assert folded.shape == shape
    assert (folded * x).sum() == (p * rows).sum()


@given(data=st.data(), shape=shapes(), dtype=DTYPES, seed=SEEDS)
def test_square_norms_of_patches_without_unfolding(data, shape, dtype, seed):
    geometry = data.draw(geometries(*shape[2:4]))
    x = integers(np.random.default_rng(seed), shape, dtype)
    got, expected = row_squares(x, geometry), np.square(unfold_images(x, geometry)).sum(-1)
    assert got.dtype == np.float64
    assert got.shape == (*shape[:2], *geometry.positions(*shape[2:4]))
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)
    huge = np.full(shape, 1e30, np.float32)  # a square that float32 cannot hold
    assert np.isfinite(row_squares(huge, geometry)).all()


@given(data=st.data(), shape=shapes(), stride=st.integers(1, 3), seed=SEEDS)
def test_pooling_reduces_the_patches(data, shape, stride, seed):
    geometry = Geometry(
        (data.draw(st.integers(1, shape[2])), data.draw(st.integers(1, shape[3]))), stride
    )
    x, (R, M, H, W, C) = np.random.default_rng(seed).normal(size=shape), shape
    windows = unfold_images(x, geometry).reshape(R, M, *geometry.positions(H, W), -1, C)
    np.testing.assert_array_equal(MaxPool2d(geometry.kernel, stride).forward(x), windows.max(-2))
    np.testing.assert_allclose(
        AveragePool2d(geometry.kernel, stride).forward(x), windows.mean(-2), atol=1e-14
    )
    np.testing.assert_allclose(
        GlobalAveragePool().forward(x), AveragePool2d((H, W)).forward(x)[:, :, 0, 0], atol=1e-14
    )


def test_the_first_maximum_wins_and_overlapping_windows_add():
    x = np.array([[1.0, 3.0, 3.0], [3.0, 0.0, 2.0], [np.nan, 5.0, np.nan]]).reshape(1, 1, 3, 3, 1)
    pool = MaxPool2d(2, 1)
    np.testing.assert_array_equal(pool.forward(x).ravel(), [3, 3, np.nan, np.nan])
    np.testing.assert_array_equal(pool.pixels.ravel(), [1, 1, 6, 8])
    back = pool.backward(np.array([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 2, 2, 1))
    np.testing.assert_array_equal(back.ravel(), [0, 11, 0, 0, 0, 0, 100, 0, 1000])
    lowest = np.full((1, 1, 2, 2, 1), -np.inf)
    assert pool.forward(lowest).item() == -np.inf
    assert pool.pixels.item() == 0


def test_channels_are_pooled_each_on_its_own():
    x = np.array([[[1.0, 8.0], [2.0, 7.0]], [[3.0, 6.0], [4.0, 5.0]]])[None, None]
    pool = MaxPool2d(2)
    np.testing.assert_array_equal(pool.forward(x), [[[[[4, 8]]]]])
    np.testing.assert_array_equal(pool.pixels, [[[[[3, 0]]]]])


@LAYERS
@given(data=st.data())
def test_an_input_gradient_that_nobody_needs_is_not_computed(kind, data):
    layer = data.draw(layers(kind, 3, 2, 1))
    y = layer.forward(np.ones((1, 1, 3, 2, 1)))
    for each in layer.walk():
        assert each.backward(y, needs_input=False) is None


def test_a_layer_of_shape_leaves_the_order():
    x = np.arange(24.0).reshape(1, 2, 2, 3, 2)
    np.testing.assert_array_equal(Flatten().forward(x), x.reshape(1, 2, 12))
    np.testing.assert_array_equal(Unflatten(2, 3, 2).forward(x.reshape(1, 2, 12)), x)


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 6),
    st.booleans(),
    DTYPES,
    SEEDS,
)
def test_columns_are_gathered_and_scattered_by_a_matrix(R, M, N, K, shared, dtype, seed):
    rng = np.random.default_rng(seed)
    x, g = integers(rng, (1 if shared else R, M, N), dtype), integers(rng, (R, M, K), dtype)
    columns, weights, count = (
        rng.integers(0, N, (R, K)),
        rng.integers(-3, 4, (R, K)) / 2,
        rng.integers(1, K + 1, R),
    )
    one_hot = (columns[:, None] == np.arange(N)[:, None]) & (np.arange(K) < count[:, None, None])
    matrix = (one_hot * weights[:, None]).astype(dtype)  # [R, N, K]
    np.testing.assert_array_equal(gather_columns(x, columns, weights, count), x @ matrix)
    back = scatter_columns(g, columns, weights, count, N=N)
    np.testing.assert_array_equal(back, g @ matrix.swapaxes(-1, -2))


def test_log_column_squares_neither_overflow_nor_hide():
    x = np.array([[[1e19, 0, 3, np.nan, np.inf], [1e19, 0, 4, 0, 0]]], np.float32)
    with np.errstate(divide="ignore"):
        got = log_column_squares(x)
    np.testing.assert_allclose(
        got, [[np.log(2e38), -np.inf, np.log(25), np.nan, np.inf]], rtol=1e-7
    )


@ON_DEVICES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_on_more_than_a_block(device, dtype):
    need(device)
    rng = np.random.default_rng(0)
    R, M, N, K = 2, 19, 300, 200
    x, kept = integers(rng, (R, M, N), dtype), integers(rng, (R, M, K), dtype)
    columns, weights, count = (
        rng.integers(0, N, (R, K)),
        rng.integers(-3, 4, (R, K)) / 2,
        np.array([K, 150]),
    )
    assert len(np.unique(columns[0])) < K  # some repeat
    image = integers(rng, (R, M, 5, 4, 40), dtype)
    geometry, window = np.array([2, 1]), np.array([3, 2, 2, 1])
    patches = unfold(image, geometry, I=3, J=2, A=3, B=2)
    y, pixels = max_pool(image, window, I=2, J=3)
    for kernel, arrays, sizes in (
        (gather_columns, [x, columns, weights, count], {}),
        (scatter_columns, [kept, columns, weights, count], {"N": N}),
        (log_column_squares, [x], {}),
        (unfold, [image, geometry], {"I": 3, "J": 2, "A": 3, "B": 2}),
        (fold, [patches, geometry], {"H": 5, "W": 4}),
        (max_pool, [image, window], {"I": 2, "J": 3}),
        (scatter_pixels, [y, pixels], {"H": 5, "W": 4}),
    ):
        spellings.agree(kernel, arrays, sizes, device)


def test_what_does_not_fit_gets_a_sentence():
    x = np.zeros((1, 2, 4, 3, 1))
    for layer in (Unfold((2, 4)), MaxPool2d((2, 4)), AveragePool2d((2, 4))):
        with pytest.raises(
            ValueError, match="expected a kernel that fits the image, got 4 taps over 3 pixels"
        ):
            layer.forward(x)
        with pytest.raises(
            ValueError, match=r"expected images \[R or 1, M, H, W, C\], got shape \(1, 2, 12\)"
        ):
            layer.forward(x.reshape(1, 2, 12))
    assert Unfold((2, 4), padding=1).forward(x).shape == (1, 2 * 5 * 2, 8)
    for kernel in (0, (2, 0), (1, 2, 3), 1.5, (2, 1.5)):
        for make in (Unfold, MaxPool2d, AveragePool2d):
            with pytest.raises(
                ValueError,
                match="expected the kernel to be an integer of at least 1 or a pair of them",
            ):
                make(kernel)
    with pytest.raises(
        ValueError, match=r"expected the kernel to be an integer of at least 1 .*, got \(2, 0\)"
    ):
        Geometry((2, 0))
    with pytest.raises(ValueError, match="expected the stride to be an integer of at least 1"):
        MaxPool2d(2, 0)
    for stride, padding in ((0, 0), (1, -1)):
        with pytest.raises(
            ValueError,
            match=f"stride of at least 1 and a padding of .*, got {stride} and {padding}",
        ):
            Unfold(1, stride, padding)
    for wrong in (np.zeros((1, 2, 11)), x):
        with pytest.raises(ValueError, match=r"N = 4 \* 3 \* 1 = 12, got shape"):
            Unflatten(4, 3, 1).forward(wrong)
    with pytest.raises(
        ValueError, match=r"expected images \[R or 1, M, H, W, C\], got shape \(1, 2, 12\)"
    ):
        GlobalAveragePool().forward(x.reshape(1, 2, 12))
