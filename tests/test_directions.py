"""Strategies of forward gradients: tangents against backpropagation, means and variances against
their closed forms."""

import functools
import sys

import numpy as np
import pytest

from aopnp import Chain, CrossEntropy, Dense, MeanSquaredError, ReLU, Streams, Tanh
from aopnp.arrays import to_device, to_host
from aopnp.arrays.streams import Purpose
from aopnp.estimators import Step
from aopnp.nn import (
    AveragePool2d,
    BatchNorm,
    BinaryDense,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool2d,
    Residual,
)
from aopnp.nn import Sign as SignActivation
from aopnp.nn.feedback import DFA, RandomFeedback
from aopnp.nn.soft_weights import Levels
from aopnp.training.directions import (
    DIRECTIONS,
    Activity,
    Aligned,
    AlignedState,
    Anchor,
    AnchorState,
    DerivativeSign,
    ForwardPass,
    Frame,
    Gaussian,
    Orthogonal,
    Projection,
    Rademacher,
    RowSpace,
    Shared,
    Sphere,
    Strategy,
    estimate_gradient,
    measure,
)
from aopnp.training.directions.estimate import _fitting
from aopnp.training.directions.strategy import along, gradients, inner, squared
from tests.devices import ON_DEVICES, need
from tests.test_every_layer import LAYERS

TRAINING = Step(3, training=True)
EACH = pytest.mark.parametrize("name", DIRECTIONS)


def ready(
    network,
    x,
    target=None,
    *,
    R=1,
    step=TRAINING,
    streams=None,
    num_dir=1,
    seed=0,
    loss=None,
    **options,
):
    """Return the forward_pass of a step whose forward pass has been run, and the gradient by
    backpropagation."""
    network.initialise(Streams(seed, [0] * R), **options)
    loss = loss or (
        MeanSquaredError() if target is None or target.dtype.kind == "f" else CrossEntropy()
    )
    y = network.forward(x, step)
    loss.forward(y, 0 * y + 1 if target is None else target)
    forward_pass = ForwardPass(network, loss, step, streams or Streams(seed, range(R)), num_dir)
    network.backward(loss.backward(), step, needs_input=False)
    return forward_pass, gradients(forward_pass)


def random_directions(forward_pass, J, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(J, *p.shape)).astype(p.dtype) for p in forward_pass.parameters]


NETWORKS = {
    "mlp with dropout and batch norm": (
        lambda: Chain(
            Dense(6, 8), BatchNorm(8), ReLU(), Dropout(0.4), Dense(8, 8), Tanh(), Dense(8, 3)
        ),
        (5, 6),
    ),
    "convolutions with pooling": (
        lambda: Chain(
            Conv2d(2, 4, 3, 1, 1),
            BatchNorm(4),
            ReLU(),
            MaxPool2d(2),
            Conv2d(4, 3, 3),
            GlobalAveragePool(),
        ),
        (4, 6, 6, 2),
    ),
    "residual": (
        lambda: Chain(
            Conv2d(2, 4, 3, 1, 1),
            Residual(Conv2d(4, 4, 3, 1, 1), BatchNorm(4), Tanh()),
            Residual(Conv2d(4, 3, 1), shortcut=Conv2d(4, 3, 1)),
            AveragePool2d(2),
            Flatten(),
            Dense(12, 3),
        ),
        (4, 4, 4, 2),
    ),
    "binary": (
        lambda: Chain(
            BinaryDense(6, 8, masked=True),
            BatchNorm(8),
            SignActivation(),
            BinaryDense(8, 3),
            BatchNorm(3),
        ),
        (5, 6),
    ),
}
SMOOTH = {
    "mlp": (lambda: Chain(Dense(6, 8), BatchNorm(8), Tanh(), Dropout(0.4), Dense(8, 3)), (5, 6)),
    "residual": NETWORKS["residual"],
}


def assert_derivatives(forward_pass, g):
    v = random_directions(forward_pass, 4)
    d, expected = along(forward_pass, v), inner(v, g)
    assert d.shape == expected.shape == (4, len(g[0]))
    np.testing.assert_allclose(
        d, expected, rtol=1e-10, atol=1e-14 * np.sqrt(squared(g).max() * forward_pass.n)
    )
    assert all(p.tangent is None for p in forward_pass.parameters)


@pytest.mark.parametrize("step", [Step(), TRAINING], ids=["evaluation", "training"])
@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=[kind.__name__ for kind in LAYERS])
def test_derivatives_through_every_layer_are_those_of_backpropagation(make, shape, step):
    x = np.random.default_rng(0).normal(size=(2, *shape))
    assert_derivatives(*ready(Chain(BatchNorm(6), make(), Flatten()), x, R=2, step=step))


@pytest.mark.parametrize(("make", "shape"), NETWORKS.values(), ids=NETWORKS)
def test_derivatives_through_whole_networks_are_those_of_backpropagation(make, shape):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(1, *shape)), rng.integers(0, 3, (1, shape[0]))
    assert_derivatives(*ready(make(), x, labels, R=2))


@pytest.mark.parametrize(("make", "shape"), SMOOTH.values(), ids=SMOOTH)
def test_derivatives_are_central_differences_where_the_network_is_smooth(make, shape):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(1, *shape)), rng.integers(0, 3, (1, shape[0]))
    forward_pass, _ = ready(make(), x, labels)
    v, h = random_directions(forward_pass, 1), 1e-5
    d, start = along(forward_pass, v), [p.value.copy() for p in forward_pass.parameters]

    def moved(t):
        for p, value, own in zip(forward_pass.parameters, start, v, strict=True):
            p.value[...] = value + t * own[0]
        return forward_pass.loss.forward(forward_pass.network.forward(x, TRAINING), labels)

    np.testing.assert_allclose(d[0], (moved(h) - moved(-h)) / (2 * h), rtol=1e-7)


# Exact means: every pattern of signs once.

X = np.array([[[1.0, -2.0, 0.5, 1.5], [0.3, 0.8, -1.0, 0.2], [-0.7, 0.4, 1.1, -1.3]]])
LABELS = np.array([[0, 1, 1]])


@pytest.mark.parametrize(
    ("strategy", "make", "bits"),
    [
        (Rademacher(), lambda: Dense(4, 2), 10),
        (Shared(3), lambda: Dense(4, 2), 4),
        (RowSpace(), lambda: Dense(4, 3), 9),
        (Activity(), lambda: Chain(Dense(4, 2), Tanh(), Dense(2, 2)), 12),
        (Activity(), lambda: Chain(Dense(4, 2), BatchNorm(2), Tanh()), 10),
    ],
    ids=["rademacher", "shared", "row space", "activity", "activity under batch norm"],
)
def test_over_all_patterns_of_signs_the_estimate_is_the_gradient(strategy, make, bits, monkeypatch):
    places = {}

    def every_pattern(self, purpose, number, *, step, size, xp, copies, dtype):
        start = places.setdefault(number, sum(length for _, length in places.values())), size
        places[number] = (start[0] if isinstance(start[0], int) else start[0][0], size)
        patterns = np.array(copies)[:, None, None] >> (places[number][0] + np.arange(size)) & 1
        return (1 - 2 * patterns).astype(dtype)

    monkeypatch.setattr(Streams, "signs", every_pattern)
    forward_pass, g = ready(make(), X, LABELS, num_dir=2**bits)
    estimate_gradient(strategy, forward_pass, None, at_once=2**bits)
    assert sum(size for _, size in places.values()) == bits
    expected = strategy.block_means(forward_pass, g) if isinstance(strategy, Shared) else g
    for got, want in zip(gradients(forward_pass), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_the_variance_of_all_sign_patterns_is_n_minus_1():
    forward_pass, g = ready(Dense(4, 2), X, LABELS)
    n = forward_pass.n
    patterns = 1.0 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    v = [patterns[:, None, :8].reshape(-1, 1, 4, 2), patterns[:, None, 8:]]
    d = along(forward_pass, v)[:, 0]
    flat = np.concatenate([each.ravel() for each in g])
    error = ((d[:, None] * patterns - flat) ** 2).sum(1).mean()
    assert error / (flat @ flat) == pytest.approx(n - 1, rel=1e-12)
    assert Rademacher().variance_factor(forward_pass, g, None) == n - 1


# Monte Carlo: one network in many replicas, each of which draws directions of its own.

DRAWS = 20_000
STREAMS = Streams(0, range(DRAWS))


def mlp():
    return Chain(Dense(4, 3), Tanh(), Dense(3, 2))


@functools.cache
def state_of(kind, n_parameters=4):
    """Return a state as training leaves it: close to the gradient, far from it in length."""
    _, g = ready(mlp(), X, LABELS)
    rng = np.random.default_rng(5)
    near = [each + 0.1 * rng.normal(size=each.shape) for each in g]
    if kind is AnchorState:
        return AnchorState(near)
    return AlignedState(
        [each / squared(near).reshape(-1, *(1,) * (each.ndim - 1)) ** 0.5 for each in near]
    )


def drawn(strategy, make=mlp, num_dir=1, state=None, x=X):
    """Return (estimates [DRAWS, n], gradient [n], forward_pass, gradients)."""
    forward_pass, g = ready(
        make(), x, LABELS[:, : x.shape[1]], R=DRAWS, streams=STREAMS, num_dir=num_dir
    )
    estimate_gradient(strategy, forward_pass, state)
    flat = np.concatenate([each.reshape(DRAWS, -1) for each in gradients(forward_pass)], 1)
    return flat, np.concatenate([each[0].ravel() for each in g]), forward_pass, g


def assert_mean(estimates, expected, largest=5.0):
    z = (estimates.mean(0) - expected) / (estimates.std(0) / np.sqrt(DRAWS) + 1e-300)
    assert np.abs(z).max() <= largest


def assert_error(estimates, gradient, expected):
    assert ((estimates - gradient) ** 2).sum(1).mean() / (gradient @ gradient) == pytest.approx(
        expected, rel=0.05
    )


CLOSED = {
    "gaussian": (Gaussian(), 1, None, (23 + 1) / 1),
    "gaussian, 4": (Gaussian(), 4, None, (23 + 1) / 4),
    "rademacher": (Rademacher(), 1, None, 23 - 1),
    "rademacher, 4": (Rademacher(), 4, None, (23 - 1) / 4),
    "sphere": (Sphere(), 1, None, 23 - 1),
    "sphere, 3": (Sphere(), 3, None, (23 - 1) / 3),
    "frame": (Frame(), 5, None, 23 / 5 - 1),
    "row space, signs": (RowSpace(), 2, None, (3 * 3 + 3 * 2 - 1) / 2),
    "row space, normal": (RowSpace("gaussian"), 1, None, 3 * 3 + 3 * 2 + 1),
    "activity, signs": (Activity(), 2, None, None),
    "activity, normal": (Activity("gaussian"), 1, None, None),
    "anchor, signs": (Anchor(2), 2, AnchorState, None),
    "anchor, normal": (Anchor(2, entries="gaussian"), 1, AnchorState, None),
    "aligned, corrected": (Aligned(0.3, corrected=True), 2, AlignedState, None),
}


@pytest.mark.parametrize(("strategy", "num_dir", "kind", "expected"), CLOSED.values(), ids=CLOSED)
def test_unbiased_with_the_variance_of_its_closed_form(strategy, num_dir, kind, expected):
    state = kind and state_of(kind)
    estimates, gradient, forward_pass, g = drawn(strategy, num_dir=num_dir, state=state)
    closed = strategy.variance_factor(forward_pass, g, strategy.begin(forward_pass, state))[0]
    assert expected is None or closed == pytest.approx(expected, rel=1e-12)
    assert_mean(estimates, gradient)
    assert_error(estimates, gradient, closed)


def test_the_closed_form_of_activity_perturbation_is_that_of_the_specification():
    """sum over layers and samples of |x|^2 (P Gamma_n + |delta_n|^2) / (N^2 |g|^2), a 1 in x for
    the bias."""
    forward_pass, g = ready(mlp(), X, LABELS)
    first, tanh, second = forward_pass.network.layers
    delta = 3 * forward_pass.loss.backward()
    below = (delta @ second.weight.value.swapaxes(1, 2)) * (1 - tanh.y**2)
    sizes = [(layer.x**2).sum(-1) + 1 for layer in (first, second)]
    deltas = [(each**2).sum(-1) for each in (below, delta)]
    gamma = deltas[0] + deltas[1]
    for sign, noise in ((1, "gaussian"), (-1, "rademacher")):
        terms = [x * (P * gamma + sign * d) for x, P, d in zip(sizes, (3, 2), deltas, strict=True)]
        expected = sum(each.sum() for each in terms) / 9 / squared(g)
        np.testing.assert_allclose(
            Activity(noise).variance_factor(forward_pass, g, None), expected, rtol=1e-12
        )


def test_masked_binary_layers_have_no_closed_form_of_activity_perturbation():
    for masked in (True, False):
        forward_pass, g = ready(
            Chain(BinaryDense(4, 3, masked=masked), Tanh(), Dense(3, 2)), X, LABELS
        )
        assert (Activity().variance_factor(forward_pass, g, None) is None) == masked


OTHERS = {
    "batch norm": (lambda: Chain(Dense(4, 3), BatchNorm(3), Tanh(), Dense(3, 2)), X),
    "convolution": (
        lambda: Chain(Conv2d(1, 2, 2), Tanh(), Flatten(), Dense(8, 2)),
        np.random.default_rng(2).normal(size=(1, 2, 3, 3, 1)),
    ),
    "convolution of examples": (
        lambda: Chain(Conv2d(1, 2, 2, unit="example"), Tanh(), Flatten(), Dense(8, 2)),
        np.random.default_rng(2).normal(size=(1, 2, 3, 3, 1)),
    ),
}


@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
@pytest.mark.parametrize(("make", "x"), OTHERS.values(), ids=OTHERS)
def test_activity_perturbation_where_rows_share_a_derivative(make, x, noise):
    estimates, gradient, forward_pass, g = drawn(Activity(noise), make, x=x)
    assert_mean(estimates, gradient)
    assert_error(estimates, gradient, Activity(noise).variance_factor(forward_pass, g, None)[0])


@pytest.mark.parametrize("noise", ["gaussian", "rademacher"])
def test_shared_directions_estimate_the_block_means(noise):
    strategy = Shared(4, noise)
    estimates, gradient, forward_pass, g = drawn(strategy, num_dir=2)
    means = np.concatenate([each[0].ravel() for each in strategy.block_means(forward_pass, g)])
    q = 3 + 1 + 2 + 1  # blocks of 12, 3, 6 and 2 entries
    assert_mean(estimates, means)
    assert_error(estimates, means, (q + (1 if noise == "gaussian" else -1)) / 2)
    assert_error(estimates, gradient, strategy.variance_factor(forward_pass, g, None)[0])
    weights = g[0].swapaxes(1, 2).reshape(DRAWS, 3, 4)  # as they lie in memory
    expected = np.repeat(weights.mean(-1), 4, -1).reshape(DRAWS, 3, 4).swapaxes(1, 2)
    np.testing.assert_allclose(strategy.block_means(forward_pass, g)[0], expected, rtol=1e-12)


def test_the_projection_is_shorter_and_nearer_and_cosines_are_m_over_n():
    for strategy, length in ((Projection(), 5 / 23), (Frame(), 1.0)):
        estimates, gradient, forward_pass, g = drawn(strategy, num_dir=5)
        assert_mean(estimates, length * gradient)
        assert_error(estimates, gradient, strategy.variance_factor(forward_pass, g, None)[0])
        cosines = (estimates @ gradient) ** 2 / ((estimates**2).sum(1) * (gradient @ gradient))
        assert abs(cosines.mean() - 5 / 23) <= 5 * cosines.std() / np.sqrt(DRAWS)


def test_a_whole_frame_has_no_error_and_more_than_n_directions_are_refused():
    for strategy in (Frame(), Projection()):
        forward_pass, g = ready(mlp(), X, LABELS, num_dir=23)
        estimate_gradient(strategy, forward_pass, None)
        for got, want in zip(gradients(forward_pass), g, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
        forward_pass, _ = ready(mlp(), X, LABELS, num_dir=24)
        with pytest.raises(
            ValueError, match="at most n = 23 orthonormal directions, got num_dir = 24"
        ):
            estimate_gradient(strategy, forward_pass, None)


def test_what_one_bit_of_the_derivative_gives():
    """Normal directions: E sign(d) v = sqrt(2/pi) g / |g|; scaled, with m = 2, the mean is (1/2 +
    1/pi) g."""
    estimates, gradient, _, _ = drawn(DerivativeSign(entries="gaussian"))
    assert_mean(estimates, np.sqrt(2 / np.pi) * gradient / np.linalg.norm(gradient))
    estimates, _, _, _ = drawn(DerivativeSign(scaled=True, entries="gaussian"), num_dir=2)
    assert_mean(estimates, (1 / 2 + 1 / np.pi) * gradient)
    forward_pass, _ = ready(mlp(), X, LABELS, R=2)
    estimate_gradient(DerivativeSign(scaled=True), forward_pass, None)
    scaled = gradients(forward_pass)
    estimate_gradient(Rademacher(), forward_pass, None)
    for got, want in zip(
        scaled, gradients(forward_pass), strict=True
    ):  # one direction: |d| sign(d) = d
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_aligned_directions_are_biased_towards_the_last_estimate():
    state, a = state_of(AlignedState), 0.3
    estimates, gradient, forward_pass, g = drawn(Aligned(a), num_dir=2, state=state)
    u = np.concatenate([each[0].ravel() for each in state.u])
    assert_mean(estimates, (1 - a) * gradient + a * (u @ gradient) * u)
    assert_error(estimates, gradient, Aligned(a).variance_factor(forward_pass, g, state)[0])
    left = Aligned(a).end(forward_pass, state)
    np.testing.assert_allclose(squared(left.u), 1, rtol=1e-12)
    before, *_ = drawn(Aligned(a))
    plain, *_ = drawn(Gaussian())
    np.testing.assert_array_equal(before, plain)  # without an estimate there is nothing to lean to


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_closed_forms_of_alignment_are_the_fourth_moments_of_normal_vectors(share):
    """E d^2 |A v|^2 = <g, S g> tr(A S A) + 2 |A S g|^2 for v ~ N(0, S), d = <g, v> and a symmetric
    A."""
    forward_pass, g = ready(mlp(), X, LABELS, num_dir=3)
    flat, near = (
        np.concatenate([each.ravel() for each in parts]) for parts in (g, state_of(AlignedState).u)
    )
    for u, unit in ((near, state_of(AlignedState)), (flat / np.linalg.norm(flat), None)):
        unit = unit or AlignedState([each / np.linalg.norm(flat) for each in g])
        S, I = (1 - share) * np.eye(23) + share * np.outer(u, u), np.eye(23)  # noqa: E741 - as in the formula
        for corrected, A in ((False, I), (True, np.linalg.inv(S))):
            mean = A @ S @ flat
            moment = flat @ S @ flat * np.trace(A @ S @ A) + 2 * mean @ mean
            expected = ((mean - flat) @ (mean - flat) + (moment - mean @ mean) / 3) / (flat @ flat)
            got = Aligned(share, corrected).variance_factor(forward_pass, g, unit)
            np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_an_anchor_refreshed_in_this_step_is_the_gradient_and_goes_stale():
    forward_pass, g = ready(mlp(), X, LABELS, R=2, num_dir=3)
    # Step 3: nothing is remembered yet.
    state, _ = estimate_gradient(Anchor(every=4), forward_pass, None)
    for got, a, want in zip(gradients(forward_pass), state.a, g, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-13)
        np.testing.assert_array_equal(a, want)
    for index, refreshed in ((5, False), (8, True)):
        other = AnchorState([0 * each for each in state.a])
        forward_pass, g = ready(mlp(), X, LABELS, R=2, num_dir=3, step=Step(index, training=True))
        after, _ = estimate_gradient(Anchor(every=4), forward_pass, other)
        assert np.array_equal(after.a[0], g[0]) == refreshed
        assert np.array_equal(after.a[0], other.a[0]) != refreshed


def test_a_running_anchor_needs_no_backward_pass(monkeypatch):
    forward_pass, _ = ready(mlp(), X, LABELS, R=2, num_dir=3)
    monkeypatch.setattr(Dense, "backward", None)
    state, _ = estimate_gradient(Anchor(every=None, decay=0.75), forward_pass, None)
    plain = gradients(forward_pass)
    estimate_gradient(Rademacher(), forward_pass, None)
    for a, first, same in zip(state.a, plain, gradients(forward_pass), strict=True):
        np.testing.assert_array_equal(first, same)  # around zero
        np.testing.assert_allclose(a, 0.25 * first, rtol=1e-14)
    after, _ = estimate_gradient(Anchor(every=None, decay=0.75), forward_pass, state)
    for a, old, new in zip(after.a, state.a, gradients(forward_pass), strict=True):
        np.testing.assert_allclose(a, 0.75 * old + 0.25 * new, rtol=1e-14)


def test_row_space_directions_lie_in_the_row_space_and_count_its_rank():
    x = np.concatenate([X, X[:, :1]], 1)  # four rows of rank 3
    labels = np.array([[0, 1, 1, 0]])
    forward_pass, g = ready(Dense(6, 2), np.concatenate([x, x[..., :2]], -1), labels)
    state = RowSpace().begin(forward_pass, None)
    w, b = RowSpace().sample(forward_pass, range(4), state)
    rows = np.concatenate([forward_pass.network.x[0], np.ones((4, 1))], 1)
    both = np.concatenate([w[:, 0], b[:, 0, None]], 1)
    np.testing.assert_allclose(np.linalg.pinv(rows) @ rows @ both, both, atol=1e-12)
    np.testing.assert_allclose(
        RowSpace("gaussian").variance_factor(forward_pass, g, state), 3 * 2 + 1, rtol=1e-12
    )
    assert RowSpace().end(forward_pass, state) is None


def test_wide_layers_convolutions_and_masked_binary_layers_get_plain_directions():
    for make, x in (
        (lambda: Dense(2, 2), X[..., :2]),
        (lambda: Chain(Conv2d(1, 2, 2), GlobalAveragePool()), np.ones((1, 2, 4, 4, 1))),
        (lambda: Chain(BinaryDense(4, 2, masked=True), BatchNorm(2)), X),
    ):
        forward_pass, _ = ready(make(), x, LABELS[:, : x.shape[1]])
        assert RowSpace().begin(forward_pass, None) == {}
        for got, want in zip(
            RowSpace().sample(forward_pass, [0], {}),
            Rademacher().sample(forward_pass, [0], None),
            strict=True,
        ):
            np.testing.assert_array_equal(got, want)


# What holds for all of them.


def stepped(
    name, *, R=2, num_dir=4, at_once=None, dtype=np.float64, device="cpu", runs=None, state=None
):
    """Return the estimates of two steps of a strategy, on the host."""
    x, labels = to_device(X.astype(dtype), device), to_device(LABELS, device)
    network = Chain(Dense(4, 3), BatchNorm(3), Tanh(), Dropout(0.2), Dense(3, 2))
    out = []
    for index in (3, 4):
        step = Step(index, training=True)
        network.initialise(Streams(0, runs or range(R)), dtype, device)
        loss = CrossEntropy()
        loss.forward(network.forward(x, step), labels)
        forward_pass = ForwardPass(network, loss, step, Streams(0, runs or range(R)), num_dir)
        state, share = estimate_gradient(
            DIRECTIONS[name](), forward_pass, state, clip=0.5, at_once=at_once
        )
        out += [to_host(each) for each in (*gradients(forward_pass), share)]
    return out


@EACH
def test_chunks_do_not_matter(name):
    for at_once in (1, 2, 3):
        for got, want in zip(stepped(name, at_once=at_once), stepped(name, at_once=4), strict=True):
            np.testing.assert_array_equal(got, want)


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stack_is_each_alone_bit_for_bit(name, dtype):
    together = stepped(name, dtype=dtype)
    for r in range(2):
        for stacked, alone in zip(together, stepped(name, dtype=dtype, runs=[r]), strict=True):
            assert stacked.dtype == alone.dtype
            np.testing.assert_array_equal(stacked[r], alone[0])
    for shared, alone in zip(stepped(name, runs=[1, 1]), stepped(name, runs=[1]), strict=True):
        np.testing.assert_array_equal(shared, np.concatenate([alone, alone]))
    assert all(each.dtype == dtype for each in (*together[:6], *together[7:13]))


@ON_DEVICES
@EACH
def test_a_device_estimates_the_same(name, device):
    need(device)
    for got, want in zip(stepped(name, device=device), stepped(name), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@EACH
def test_directions_are_functions_of_their_numbers_and_of_the_step(name):
    strategy, x = DIRECTIONS[name](), np.random.default_rng(0).normal(size=(1, 3, 300))
    forward_pass, _ = ready(Dense(300, 40), x, LABELS, R=2, num_dir=2)
    state = strategy.begin(forward_pass, None)
    first, again, other = (
        strategy.sample(forward_pass, numbers, state) for numbers in ([0, 1], [0, 1], [2, 3])
    )
    later, _ = ready(Dense(300, 40), x, LABELS, R=2, num_dir=2, step=Step(4, training=True))
    later = strategy.sample(later, [0, 1], strategy.begin(later, None))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, c, d in zip(first[:1], other[:1], later[:1], strict=True):
        assert len(a) == 2
        pairs = (a[0], a[1]), (a, c), (a, d), (a[1], d[0]), (a[:, 0], a[:, 1])
        assert not any(np.array_equal(x, y) for x, y in pairs)


def test_signs_are_signs_and_cost_one_bit_each():
    forward_pass, _ = ready(mlp(), X, LABELS, R=2)
    assert all(
        set(np.unique(v)) <= {-1, 1} for v in Rademacher().sample(forward_pass, [0, 1], None)
    )
    drawn = Streams(0, [0, 1]).signs(
        Purpose.DIRECTIONS, 0, step=0, size=40_000, xp=np, copies=[0, 1], dtype=np.float32
    )
    assert drawn.shape == (2, 2, 40_000)
    assert drawn.dtype == np.float32
    for lag in (0, 1, 2, 32, 128, 16384):
        products = drawn[..., lag:] * (drawn[..., : 40_000 - lag] if lag else 1)
        assert np.abs(products.mean(-1)).max() < 5 / np.sqrt(40_000 - lag)
    pairs = drawn.reshape(4, -1)
    assert np.abs(np.corrcoef(pairs) - np.eye(4)).max() < 5 / np.sqrt(40_000)


def test_measuring_agrees_with_the_closed_forms():
    network = mlp()
    network.initialise(Streams(0, [0, 1]))
    for strategy, m in ((Rademacher(), 2), (Activity(), 1), (Orthogonal(), 1)):
        seen = measure(
            strategy, network, CrossEntropy(), X, LABELS, 800, streams=Streams(0, [0, 1]), num_dir=m
        )
        assert seen.error.shape == seen.cosine.shape == (800, 2)
        assert seen.layer_error.shape == seen.layer_cosine.shape == (800, 2, 2)
        expected = seen.expected_error if seen.expected_error is not None else np.full(2, 22.0)
        off = seen.error.mean(0) - expected
        assert np.abs(off / (seen.error.std(0) / np.sqrt(800))).max() < 5
        assert np.abs(seen.cosine).max() <= 1 + 1e-12
    seen = measure(
        Frame(), network, CrossEntropy(), X, LABELS, 1, streams=Streams(0, [0, 1]), num_dir=23
    )
    for off, cosine in ((seen.error, seen.cosine), (seen.layer_error, seen.layer_cosine)):
        np.testing.assert_allclose(off, 0, atol=1e-12)
        np.testing.assert_allclose(cosine, 1, rtol=1e-12)


@pytest.mark.parametrize(
    "layers",
    [[Dense(4, 3), DFA(2, 3), Dense(3, 2)], [Dense(4, 3), Dense(3, 2, feedback=RandomFeedback())]],
)
def test_measuring_wants_the_gradient_itself(layers):
    network = Chain(*layers)
    network.initialise(Streams())
    with pytest.raises(
        ValueError,
        match="expected a network whose backward pass gives the gradient, got feedback in",
    ):
        measure(Rademacher(), network, CrossEntropy(), X, LABELS, 2, streams=Streams())


@pytest.mark.parametrize("name", ["frame", "projection", "orthogonal"])
def test_what_is_drawn_together_runs_in_chunks(name, monkeypatch):
    widths = []

    def seen(self, forward_pass, v, state):
        widths.append(len(v[0]))
        return along(forward_pass, v)

    monkeypatch.setattr(Strategy, "derivative", seen)
    forward_pass, _ = ready(mlp(), X, LABELS, num_dir=5)
    for at_once, expected in ((None, [1] * 5), (2, [2, 2, 1]), (8, [5])):
        widths.clear()
        estimate_gradient(DIRECTIONS[name](), forward_pass, None, at_once=at_once)
        assert widths == expected


def test_a_device_runs_as_many_as_fit_by_the_size_of_the_numbers(monkeypatch):
    forward_pass, _ = ready(
        Chain(BinaryDense(4, 3, storage=Levels(1)), Dense(3, 2)), X, LABELS, num_dir=9
    )
    assert _fitting(forward_pass) == 1
    module = sys.modules["aopnp.training.directions.estimate"]  # whose name its function has
    monkeypatch.setattr(module, "array_module", lambda: None)  # as if on a device
    monkeypatch.setattr(module, "ROOM", 4 * 8 * (4 * 3 + 3 * 2 + 2) + 1)
    assert _fitting(forward_pass) == 4  # a tangent of 12 soft weights takes 96 bytes, and not two
    monkeypatch.setattr(module, "ROOM", 1)
    assert _fitting(forward_pass) == 1


def test_measuring_leaves_what_a_strategy_remembers_as_it_was():
    network, streams = mlp(), Streams(0, [0, 1])
    network.initialise(streams)
    forward_pass, _ = ready(mlp(), X, LABELS, R=2)
    state, _ = estimate_gradient(Orthogonal(2), forward_pass, None)
    before = state.q[0].copy(), state.steps
    seen = measure(
        Orthogonal(2), network, CrossEntropy(), X, LABELS, 3, streams=streams, state=state
    )
    np.testing.assert_array_equal(state.q[0], before[0])
    assert state.steps == before[1]
    assert len(np.unique(seen.error)) == 6


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RowSpace("uniform"), "entries among gaussian, rademacher, got 'uniform'"),
        (lambda: Shared(0), "blocks of at least 1 entry, got 0"),
        (lambda: Anchor(0), "every >= 1 steps between backward passes, or None, got 0"),
        (lambda: Anchor(decay=1.0), "a decay from 0 to below 1, got 1.0"),
        (lambda: Aligned(1.0), "a share of the last estimate from 0 to below 1, got 1.0"),
        (lambda: Orthogonal(0), "a window of at least 1 step, got 0"),
        (lambda: Orthogonal(scale="both"), "a scale among rescaled, unscaled, got 'both'"),
        (
            lambda: Orthogonal(scale="unscaled", within=True),
            "expected rescaled directions where they are orthogonal",
        ),
        (
            lambda: measure(Frame(), mlp(), CrossEntropy(), X, LABELS, 0, streams=Streams()),
            "at least one draw, got 0",
        ),
    ],
)
def test_bad_options_get_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
