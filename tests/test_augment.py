"""Random crops and flips: every output is a possible one, all are equally frequent, the map is
linear."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import Streams
from aopnp.arrays import to_device, to_host
from aopnp.estimators import Step
from aopnp.nn import RandomCropFlip
from aopnp.verify import adjoint
from tests.devices import ON_DEVICES, need

TRAINING = Step(3, training=True)


def prepared(padding, runs, index=0):
    layer = RandomCropFlip(padding)
    layer.initialise(Streams(0, runs), index=index)
    return layer


def possible(image, padding):
    """Return every crop of the padded image [H, W, C], plain and flipped: (down, right, flipped) ->
    image."""
    H, W, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    crops = {
        (down, right): padded[down : down + H, right : right + W]
        for down, right in itertools.product(range(2 * padding + 1), repeat=2)
    }
    return {
        (*place, flip): crop[:, ::-1] if flip else crop
        for place, crop in crops.items()
        for flip in (False, True)
    }


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_every_output_is_a_possible_crop_and_all_are_equally_frequent(padding):
    M, R = 600, 2
    x = np.random.default_rng(0).normal(size=(R, M, 4, 5, 3))
    y = prepared(padding, range(R)).forward(x, TRAINING)
    seen = []
    for image, got in zip(x.reshape(-1, 4, 5, 3), y.reshape(-1, 4, 5, 3), strict=True):
        equal = [
            name for name, crop in possible(image, padding).items() if np.array_equal(crop, got)
        ]
        assert len(equal) == 1
        seen += equal
    for place, count in enumerate([2 * padding + 1, 2 * padding + 1, 2]):  # down, right, flipped
        frequency = np.bincount([name[place] for name in seen], minlength=count) / len(seen)
        assert (
            np.abs(frequency - 1 / count).max()
            < 4.5 * np.sqrt((1 - 1 / count) / count / len(seen)) + 1e-15
        )
    assert len(set(seen)) == 2 * (2 * padding + 1) ** 2


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2),
    st.booleans(),
)
def test_backward_is_the_transpose_and_tangent_the_map_itself(R, M, H, W, padding, shared):
    rng = np.random.default_rng(R + 10 * M + 100 * H)
    layer = prepared(padding, range(R))
    x = rng.integers(-9, 9, (1 if shared else R, M, H, W, 2)).astype(float)
    for step in (TRAINING, Step()):
        y = layer.forward(x, step)
        assert len(y) == (R if step.training else len(x))
        g, u = rng.integers(-9, 9, (2, len(y), M, H, W, 2)).astype(float)
        adjoint.adjoint(layer, x, g, u, step, tolerance=0)  # integers: exact
        adjoint.tangent_is_derivative(layer, x, u, step=step)
        many = rng.normal(size=(3, *u.shape))
        np.testing.assert_array_equal(layer.tangent(many), [layer.tangent(each) for each in many])


def test_images_are_what_they_were_in_evaluation():
    layer, x = prepared(2, [0]), np.ones((1, 2, 4, 4, 1))
    layer.forward(x, TRAINING)
    assert layer.forward(x) is x
    assert layer.backward(x) is x
    assert layer.backward(x, needs_input=False) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stack_equals_each_alone_and_steps_differ(dtype):
    x = np.random.default_rng(0).normal(size=(3, 6, 5, 4, 2)).astype(dtype)
    runs = [4, 1, 4]
    layer = prepared(2, runs, index=7)
    y, back = layer.forward(x, TRAINING), layer.backward(x)
    assert y.dtype == back.dtype == dtype
    for r, run in enumerate(runs):
        alone = prepared(2, [run], index=7)
        np.testing.assert_array_equal(alone.forward(x[r : r + 1], TRAINING), y[r : r + 1])
        np.testing.assert_array_equal(alone.backward(x[r : r + 1]), back[r : r + 1])
    np.testing.assert_array_equal(layer.forward(x, TRAINING), y)
    assert (layer.forward(x, Step(4, training=True)) != y).any()
    assert (prepared(2, runs, index=8).forward(x, TRAINING) != y).any()


def test_a_shared_batch_is_cropped_for_each_run_and_once_for_replicas_of_one_run():
    x = np.random.default_rng(0).normal(size=(1, 6, 5, 4, 2))
    y = prepared(2, [1, 2]).forward(x, TRAINING)
    np.testing.assert_array_equal(y, prepared(2, [1, 2]).forward(np.concatenate([x, x]), TRAINING))
    together = prepared(2, [2, 2])
    np.testing.assert_array_equal(together.forward(x, TRAINING), y[1:])
    # Of two replicas above a shared input.
    g = np.random.default_rng(1).normal(size=(2, 6, 5, 4, 2))
    back = together.backward(g)
    np.testing.assert_array_equal(
        back, np.concatenate([together.backward(each[None]) for each in g])
    )


def test_an_image_meets_the_same_crop_whatever_comes_after_it():
    x = np.random.default_rng(0).normal(size=(1, 6, 5, 4, 2))
    layer = prepared(2, [0])
    np.testing.assert_array_equal(
        layer.forward(x[:, :4], TRAINING), layer.forward(x, TRAINING)[:, :4]
    )


@ON_DEVICES
def test_devices_crop_the_same_without_waiting(device):
    need(device)
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 4, 2))
    layer = prepared(2, range(2))
    expected = [layer.forward(x, TRAINING), layer.backward(x), layer.tangent(x)]
    moved = to_device(x, device)
    if device == "cuda-sim":
        from aopnp.arrays.cuda_sim.device import no_waiting

        with no_waiting():
            got = [layer.forward(moved, TRAINING), layer.backward(moved), layer.tangent(moved)]
    else:
        got = [layer.forward(moved, TRAINING), layer.backward(moved), layer.tangent(moved)]
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(to_host(ours), theirs)


def test_wrong_inputs_get_a_sentence():
    with pytest.raises(ValueError, match="expected a padding of at least 0 pixels, got -1"):
        RandomCropFlip(-1)
    with pytest.raises(
        ValueError, match=r"expected images \[R or 1, M, H, W, C\], got shape \(1, 2, 3\)"
    ):
        RandomCropFlip(1).forward(np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="expected an initialised RandomCropFlip"):
        RandomCropFlip(1).forward(np.ones((1, 2, 3, 3, 1)), TRAINING)
