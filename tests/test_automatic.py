"""Automatic K: both variances as they are defined, the smallest k between them, and what a layer
does with it."""

import contextlib
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aopnp import AOP, SGD, Chain, CrossEntropy, Dense, Exact, ReLU, Streams, fit
from aopnp.arrays import to_device, to_host
from aopnp.arrays.cuda_sim import device as cuda_sim
from aopnp.estimators import Automatic, Stacked, Step, Watched, side_by_side, stack
from aopnp.estimators.automatic import batch_variance, fewest
from aopnp.estimators.outer_products import dense
from aopnp.estimators.policies import bernoulli
from aopnp.estimators.policies.water_filled import water_filled
from aopnp.nn import Conv2d
from aopnp.training import backprop
from aopnp.training.checkpoint import load, save
from aopnp.training.selection_noise import epoch_noise
from aopnp.training.serialise import pack, unpack
from aopnp.verify import sampling
from tests.devices import ON_DEVICES, need

scores = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 1.0, 3.0]), st.floats(1e-3, 1e3)), min_size=1, max_size=12
)
budgets = st.one_of(st.sampled_from([0.5, 1.0, 2.0]), st.floats(1e-6, 1e6))


def factors(seed, n, N=3, P=2, R=1):
    """Return x [R, n, N] and g [R, n, P] of integers: some rows are zero, some equal."""
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, (R, n, N)).astype(float), rng.integers(-2, 3, (R, n, P)).astype(
        float
    )


def norms(x, g):
    return np.linalg.norm(x, axis=-1) * np.linalg.norm(g, axis=-1)


def own_variance(terms):
    """Return M times the sample variance of terms [M, ...]: that of their sum."""
    return len(terms) * np.sum((terms - terms.mean(0)) ** 2) / max(len(terms) - 1, 1)


def error(w, k):
    """Return V(k) for norms w [n]: the formula, whose probabilities are those that sampling
    uses."""
    return sampling.independent_error(w, water_filled(w[None], np.array([k]))[0])


def start(estimator, x, g, index=0, multiply=lambda pairs: pairs):
    """Return (state, gradient) after one step, the first."""
    state = estimator.start(x, g)
    return state, dense(estimator(x, g, state, None, Step(index), multiply))


# The two variances, and k.


@pytest.mark.parametrize("M", [2, 3])
def test_the_mini_batch_variance_is_unbiased_over_all_batches(M):
    """Batches of M independent draws from 4 samples: the mean of S is the variance of X^T G."""
    x, g = factors(1, 4)
    batches = np.array(list(itertools.product(range(4), repeat=M)))
    sums = x[0][batches].swapaxes(1, 2) @ g[0][batches]
    estimated = batch_variance(norms(x[0], g[0])[batches], sums)
    assert estimated.mean() == pytest.approx(
        np.sum((sums - sums.mean(0)) ** 2) / len(batches), rel=1e-12
    )
    assert np.ptp(estimated) > 1


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_the_mini_batch_variance_by_its_definition(seed, M):
    x, g = factors(seed, M, R=2)
    got = batch_variance(norms(x, g), x.swapaxes(1, 2) @ g)
    for r in range(2):
        expected = own_variance(x[r][:, :, None] * g[r][:, None, :])
        assert got[r] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(scores, budgets)
def test_k_is_the_smallest_that_is_good_enough(values, T):
    w = np.array(values)
    k = int(fewest(w[None], np.array([T]))[0])
    slack = 1e-9 * (T + np.sum(w**2))
    assert 1 <= k <= len(w)
    assert error(w, k) <= T + slack
    if k > 1:
        assert error(w, k - 1) > T - slack


@given(scores, budgets)
def test_k_equals_the_first_of_all_that_are_tried(values, T):
    w = np.array(values)
    tried = np.array([error(w, k) for k in range(1, len(w) + 1)])
    assume(np.abs(tried - T).min() > 1e-9 * (T + np.sum(w**2)))  # on the edge rounding decides
    assert fewest(w[None], np.array([T]))[0] == 1 + np.argmax(tried <= T)


@given(st.integers(1, 200), st.integers(1, 16))
def test_equal_scores_by_hand(n, quarters):
    """V(k) = n (n - k) / k for w = 1, so that V(k) <= share n means k >= n / (1 + share)."""
    share = quarters / 4
    assert fewest(np.ones((1, n)), np.array([share * n]))[0] == math.ceil(n / (1 + share))


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([0.1, 0.3, 1.0]))
def test_sampling_adds_at_most_its_share_by_all_subsets(seed, n, share):
    """End to end: the mean square error over every outcome, beside the variance of the terms
    themselves."""
    x, g = factors(seed, n)
    T = share * own_variance(x[0][:, :, None] * g[0][:, None, :])
    w = norms(x[0], g[0])
    k = int(start(Automatic(share), x, g)[0].k[0])
    for count in range(max(1, k - 1), min(k + 1, n + 1)):
        outcomes = sampling.independent_atoms(water_filled(w[None], np.array([count]))[0])
        mean, measured = sampling.moments(bernoulli, x[0], g[0], count, *outcomes)
        np.testing.assert_allclose(mean, x[0].T @ g[0], atol=1e-9)
        assert measured == pytest.approx(error(w, count), rel=1e-6, abs=1e-9)
        if T > 1e-9:
            assert measured <= T * (1 + 1e-6) if count >= k else measured > T * (1 - 1e-6)
    assert k == n or T > 1e-9


@given(st.integers(0, 10**6), st.integers(1, 12), st.floats(0, 2), st.floats(0, 2))
def test_a_larger_share_keeps_fewer(seed, n, one, other):
    x, g = factors(seed, n)
    less, more = sorted((one, other))
    assert start(Automatic(more), x, g)[0].k <= start(Automatic(less), x, g)[0].k


def test_replicas_have_a_share_and_a_k_each():
    x, g = factors(3, 30, R=5)
    shares = np.array([0.0, 0.05, 0.2, 1.0, 5.0])
    together = start(Automatic(shares), x, g)[0].k
    alone = [
        start(Automatic(share), x[r : r + 1], g[r : r + 1])[0].k[0]
        for r, share in enumerate(shares)
    ]
    np.testing.assert_array_equal(together, alone)
    assert together[0] == 30
    assert len(set(alone)) == 5
    assert together.dtype == np.int64


# Limits.


def both(estimator, x, g, steps=4):
    """Return (answers, exact answers) of several steps on batches x [T, R, n, N] and g [T, R, n,
    P]."""
    state, rng = estimator.start(x[0], g[0]), np.random.default_rng(0)
    noise = rng.gumbel(size=(steps, *g.shape[1:3]))
    answers = [dense(estimator(x[t], g[t], state, noise[t], Step(t))) for t in range(steps)]
    return answers, [dense(Exact()(x[t], g[t], (), None, Step(t))) for t in range(steps)]


@pytest.mark.parametrize("n", [1, 2, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.0, 1e-300, np.zeros(2)])
def test_no_share_is_exact_bit_for_bit(n, dtype, share):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(4, 2, n, 5)).astype(dtype), rng.normal(size=(4, 2, n, 3)).astype(dtype)
    x[0, :, : n // 2] = 0  # what is zero when k is chosen may not be later
    if n > 1 and np.all(share):
        x[0] = 1 + x[1]  # such a share keeps what is not zero
    answers, exact = both(Automatic(share, every=100), x, g)
    for got, expected in zip(answers, exact, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["zero", "equal", "one row"])
def test_without_a_variance_all_is_kept(kind):
    rng, n = np.random.default_rng(0), 1 if kind == "one row" else 7
    x, g = (
        rng.integers(1, 5, (4, 2, n, 5)).astype(float),
        rng.integers(1, 5, (4, 2, n, 3)).astype(float),
    )
    if kind == "zero":
        g[0] = 0
    elif kind == "equal":
        x[0], g[0] = x[0, :, :1], g[0, :, :1]
    answers, exact = both(Automatic(1.0, every=100), x, g)
    for got, expected in zip(answers, exact, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200])
def test_what_goes_wrong_is_seen_and_all_is_kept(wrong):
    x, g = factors(0, 6, R=2)
    x[0, 2], g[0, 2] = wrong, 1.0
    state, gradient = start(Automatic(10.0), x, g)
    assert not np.abs(gradient[0]).max() < 1e200
    np.testing.assert_array_equal(state.k, [6, start(Automatic(10.0), x[1:], g[1:])[0].k[0]])
    assert state.k[1] < 6


@pytest.mark.parametrize("T", [0.0, -1.0, np.nan, np.inf])
def test_what_is_no_budget_keeps_all(T):
    np.testing.assert_array_equal(
        fewest(np.array([[1.0, 2, 3], [3, 2, 1]]), np.array([T, 100.0])), [3, 1]
    )


def test_factors_may_lie_in_memory_as_they_like():
    x, g = factors(3, 30)
    state, gradient = start(Automatic(0.3), x, g)
    other, same = start(
        Automatic(0.3), np.repeat(x, 2, -1)[..., ::2], g.swapaxes(1, 2).copy().swapaxes(1, 2)
    )
    np.testing.assert_array_equal(same, gradient)
    assert state.k == other.k


def test_wrong_use_gets_a_sentence():
    for share in (-0.1, np.nan, np.inf, np.array([0.1, -1])):
        with pytest.raises(
            ValueError, match="expected a finite share of at least 0 of the variance, got"
        ):
            Automatic(share)
    with pytest.raises(
        ValueError, match="expected to choose K every 1 or more steps, got every = 0"
    ):
        Automatic(every=0)
    for seam in ("forward", "input_gradient"):
        with pytest.raises(
            ValueError, match="expected estimators without memory for the forward product"
        ):
            Dense(2, 3, **{seam: Automatic()})


# Steps.


@pytest.mark.parametrize("first", [0, 5])
def test_k_is_chosen_at_the_first_step_and_every_so_often(first):
    x, g = factors(2, 20)
    estimator, rng = Automatic(0.5, every=4), np.random.default_rng(0)
    state = estimator.start(x, g)
    for t in range(first, first + 9):
        scale = 1.0 + t * (np.arange(20) < 3)[:, None]  # the batches grow more uneven
        answer = estimator(scale * x, g, state, rng.gumbel(size=(1, 20)), Step(t))
        if t == first or t % 4 == 0:
            np.testing.assert_array_equal(answer, (scale * x).swapaxes(1, 2) @ g)
            chosen = start(Automatic(0.5), scale * x, g)[0].k
        else:
            assert 0 < int(answer.count[0]) < 20
        np.testing.assert_array_equal(state.k, chosen)
    assert state.terms == 20


def test_another_batch_size_is_measured_anew():
    x, g = factors(2, 20)
    estimator = Automatic(0.5)
    state, _ = start(estimator, x, g)
    answer = estimator(x[:, :7], g[:, :7], state, None, Step(1))
    np.testing.assert_array_equal(answer, x[:, :7].swapaxes(1, 2) @ g[:, :7])
    assert (state.terms, state.k[0]) == (7, start(estimator, x[:, :7], g[:, :7])[0].k[0])


def test_the_steps_between_are_water_filled_bernoulli_sampling_of_k():
    x, g = factors(2, 20, R=3)
    shares, noise = np.array([0.1, 0.5, 2.0]), np.random.default_rng(0).gumbel(size=(3, 20))
    state, _ = start(Automatic(shares), x, g)
    got = Automatic(shares)(x, g, state, noise, Step(1))
    expected = AOP(bernoulli, state.k)(x, g, (), noise, Step(1))
    np.testing.assert_array_equal(got.count, expected.count)
    np.testing.assert_array_equal(dense(got), dense(expected))


LAYERS = {
    "dense": (lambda estimator: Dense(3, 2, estimator), (4, 3)),
    "patch": (lambda estimator: Conv2d(2, 2, 2, 1, 0, estimator), (1, 3, 3, 2)),
    "example": (lambda estimator: Conv2d(2, 2, 2, 1, 0, estimator, unit="example"), (4, 3, 3, 2)),
}


def layer_of(kind, estimator, R):
    """Return an initialised layer and a batch of integers that its R replicas share: x [1, ...], g
    [R, ...]."""
    rng, (make, shape) = np.random.default_rng(4), LAYERS[kind]
    layer = make(estimator)
    layer.initialise(Streams(1, [0] * R))
    x = rng.integers(-3, 4, (1, *shape)).astype(float)
    y = layer.forward(np.repeat(x, R, 0))
    return layer, x, np.repeat(rng.integers(-3, 4, (1, *y.shape[1:])).astype(float), R, 0)


@pytest.mark.parametrize("kind", LAYERS)
def test_unbiased_between_the_steps_that_are_exact(kind):
    """Every outcome of the 4 terms is a replica of one layer."""
    first, x, g = layer_of(kind, Automatic(1.0), 1)
    first.forward(x, Step(training=True))
    first.backward(g, Step(training=True))
    k = int(first.weight_product.state.k[0])
    assert k < 4, "nothing would be sampled"
    terms = norms(*(a.reshape(1, 4, -1) for a in ((x, g) if kind == "example" else (first.x, g))))
    noise, probability = sampling.independent_atoms(water_filled(terms, np.array([k]))[0])
    layer, x, g = layer_of(kind, Automatic(1.0), len(noise))
    for index in range(2):
        step = Step(index, noise={layer: noise}, training=True)
        layer.forward(x, step)
        layer.backward(g, step)
        np.testing.assert_array_equal(layer.weight_product.state.k, k)
        gradients = dense(layer.weight.grad)
        assert (np.ptp(gradients, axis=0).max() > 0.1) == (index == 1)
        np.testing.assert_allclose(
            np.tensordot(probability, gradients, 1), dense(first.weight.grad)[0], atol=1e-9
        )


@pytest.mark.parametrize("kind", LAYERS)
def test_the_measured_step_is_the_exact_gradient_and_weighs_its_terms(kind):
    layer, x, g = layer_of(kind, Automatic(0.7), 1)
    exact = layer_of(kind, Exact(), 1)[0]
    for each in (layer, exact):
        each.forward(x, Step(training=True))
        each.backward(g, Step(training=True))
    C = dense(exact.weight.grad)
    np.testing.assert_array_equal(layer.weight.grad, C)
    w = norms(*(a.reshape(1, 4, -1) for a in ((x, g) if kind == "example" else (layer.x, g))))
    S = 4 / 3 * (np.sum(w**2) - np.sum(C**2) / 4)
    assert S > 0
    k = next(k for k in range(1, 5) if error(w[0], k) <= 0.7 * S)
    assert layer.weight_product.state.k[0] == k


# Stacks, devices, files.


def digits(dtype=np.float64):
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    return (x / 16).astype(dtype), labels


def network_of(estimators, device="cpu", dtype=np.float64, hidden=16):
    streams = Streams(0, [0] * len(estimators))
    network = Chain(Dense(64, hidden, side_by_side(estimators)), ReLU(), Dense(hidden, 10))
    network.initialise(streams, dtype, device)
    return network, streams


def test_knobs_are_stacked():
    assert stack([Automatic(0.1), Automatic(0.1)]) == Automatic(0.1)
    stacked = side_by_side([Automatic(0.1), Automatic(0.2)])
    np.testing.assert_array_equal(stacked.share, [0.1, 0.2])
    assert stacked.every == 100
    unlike = side_by_side([Automatic(0.1, every=5), Automatic(0.1, every=6), Exact()])
    assert isinstance(unlike, Stacked)
    assert [part.every for _, part in unlike.parts[:2]] == [5, 6]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stacked_replicas_train_as_each_alone_bit_for_bit(dtype):
    x, labels = digits(dtype)
    estimators = [Automatic(share, every) for every in (5, 7) for share in (0.0, 0.05, 1.0)] + [
        Exact()
    ]
    together, streams = network_of(estimators, dtype=dtype)
    options = {"batch_size": 64, "epochs": 1}
    history = fit(
        together, CrossEntropy(), SGD(0.5, 0.9), (x[:800], labels[:800]), streams=streams, **options
    )
    for r, estimator in enumerate(estimators):
        alone, streams = network_of([estimator], dtype=dtype)
        own = fit(
            alone,
            CrossEntropy(),
            SGD(0.5, 0.9),
            (x[:800], labels[:800]),
            streams=streams,
            **options,
        )
        np.testing.assert_array_equal(own["train_loss"][:, 0], history["train_loss"][:, r])
        for mine, theirs in zip(alone.parameters(), together.parameters(), strict=True):
            np.testing.assert_array_equal(mine.value[0], theirs.value[r])


def few_steps(device, steps=7):
    """Return (k after each step, weights) of a layer whose K is chosen every 3 steps."""
    rng, estimator = np.random.default_rng(0), Automatic(np.array([0.0, 0.1, 0.5]), every=3)
    layer, streams = Dense(5, 4, estimator), Streams(0, [0, 0, 0])
    layer.initialise(streams, np.float64, device)
    noise = epoch_noise(layer, streams, 1, steps, 12)[layer.weight_product]
    chosen, optimiser = [], SGD(0.2)
    for t in range(steps):
        x, labels = rng.normal(size=(1, 12, 5)), rng.integers(0, 4, (1, 12))
        x, labels, drawn = (to_device(a, device) for a in (x, labels, noise[t]))
        step = Step(t, optimiser.lr(t), {layer: drawn}, training=True)
        with cuda_sim.no_waiting() if t % 3 else contextlib.nullcontext():
            backprop(layer, CrossEntropy(), x, labels, step)
        optimiser.update(layer.parameters(), step)
        chosen.append(layer.weight_product.state.k)
    return np.array(chosen), to_host(layer.weight.value)


@ON_DEVICES
def test_a_device_chooses_the_same_and_is_waited_for_only_then(device):
    need(device)
    chosen, weights = few_steps(device)
    chosen_here, weights_here = few_steps("cpu")
    np.testing.assert_array_equal(chosen, chosen_here)
    assert (chosen[:, 0] == 12).all()
    assert (chosen[:, 1:] < 12).all()
    assert len(np.unique(chosen[:, 1:])) > 2
    np.testing.assert_allclose(weights, weights_here, rtol=1e-12)


def test_k_is_read_from_the_device_in_the_steps_that_choose_it():
    need("cuda-sim")
    x, g = (to_device(a, "cuda-sim") for a in factors(0, 6))
    with cuda_sim.no_waiting(), pytest.raises(RuntimeError, match="waits for the device"):
        start(Automatic(), x, g)


def test_its_state_comes_back_to_the_host():
    need("cuda-sim")
    state, _ = start(
        Automatic(np.array([0.0, 0.5])), *(to_device(a, "cuda-sim") for a in factors(0, 20, R=2))
    )
    arrays = {}
    back = unpack(json.loads(json.dumps(pack(state, "state", arrays))), arrays, "cuda-sim")
    assert vars(back).keys() == vars(state).keys()
    for name, value in vars(state).items():
        assert type(getattr(back, name)) is type(value) in (np.ndarray, int)
        np.testing.assert_array_equal(getattr(back, name), value)


def test_training_goes_on_from_a_file(tmp_path):
    x, labels = digits()
    data, estimators = (x[:640], labels[:640]), [Automatic(0.1, every=7), Automatic(0.5, every=7)]
    whole, streams = network_of(estimators)
    options = {"streams": streams, "batch_size": 64}
    expected = fit(whole, CrossEntropy(), SGD(0.2), data, epochs=2, **options)
    half, _ = network_of(estimators)
    fit(half, CrossEntropy(), SGD(0.2), data, epochs=1, **options)
    save(tmp_path / "network.npz", half, SGD(0.2), streams=streams, epoch=1)
    other, _ = network_of(estimators)
    load(tmp_path / "network.npz", other, SGD(0.2), streams=streams)
    got = fit(other, CrossEntropy(), SGD(0.2), data, epochs=2, first_epoch=2, **options)
    for name in ("train_loss", "kept_share", "flops"):
        np.testing.assert_array_equal(got[name][0], expected[name][1])
    for mine, theirs in zip(other.parameters(), whole.parameters(), strict=True):
        np.testing.assert_array_equal(mine.value, theirs.value)


# What it costs, and what it is good for.


def test_the_ledger_and_the_kept_share_by_hand():
    """Six steps, K chosen every 3: two exact products, four sampled ones, two sets of norms for
    choosing."""
    M, N, P = 20, 3, 2
    layer = Dense(N, P, Automatic(0.5, every=3))
    layer.initialise(Streams())
    rng, kept, chosen = np.random.default_rng(0), [], []
    for t in range(6):
        step = Step(t, noise={layer: rng.gumbel(size=(1, M))}, training=True)
        layer.forward(rng.normal(size=(1, M, N)), step)
        layer.backward(rng.normal(size=(1, M, P)), step, needs_input=False)
        if t % 3:
            kept.append(int(layer.weight.grad.count[0]))
            chosen.append(int(layer.weight_product.state.k[0]))
    assert max(kept) < M
    exact = 2 * M * N * P
    sampled = 2 * sum(kept) * N * P
    # The scores of four steps, and rescaling the smaller factor.
    overhead = 4 * 2 * M * (N + P) + sum(kept) * P
    choosing = 2 * (2 * M * (N + P) + 2 * N * P)  # the norms of all pairs, and that of the product
    assert layer.spent() == {
        "flops": pytest.approx(
            [6 * exact + 2 * exact + sampled + overhead + choosing]
        ),  # 6: forward
        "exact_flops": pytest.approx([12 * exact]),
        "overhead_flops": pytest.approx([overhead + choosing]),
        "bytes_moved": pytest.approx([2 * 8 * sum(kept) * (N + P)]),
    }
    shares = layer.observations()
    assert shares == {"kept_share": pytest.approx([(2 + sum(chosen) / M) / 6])}
    assert type(shares["kept_share"]) is np.ndarray
    step = Step(6, noise=step.noise, training=True)
    layer.backward(rng.normal(size=(1, M, P)), step, needs_input=False)
    assert layer.observations() == {"kept_share": pytest.approx([1])}


def test_digits_are_learnt_from_a_part_of_the_outer_products():
    x, labels = digits()
    shares = [0.0, 0.025, 0.25, 1.0]
    network, streams = network_of([Automatic(share, every=20) for share in shares])
    options = {"streams": streams, "batch_size": 64, "epochs": 4}
    history = fit(network, CrossEntropy(), SGD(0.5), (x, labels), **options)
    loss, kept, spent = (history[name] for name in ("train_loss", "kept_share", "flops"))
    np.testing.assert_array_equal(kept[:, 0], np.ones(4))
    assert (np.diff(kept, axis=1) < 0).all()
    assert (kept[:, 1:] > 0).all()
    assert (kept[:, 1:] < 1).all()
    assert (np.diff(loss, axis=0) < 0).all()
    np.testing.assert_allclose(loss[-1, 1:3], loss[-1, 0], rtol=0.1)
    assert (spent.sum(0)[1:] < spent.sum(0)[0]).all()  # choosing included


def test_what_it_chose_is_seen_through_the_watcher():
    watched, state, x = (
        Watched(Automatic(0.1, every=2)),
        None,
        np.random.default_rng(0).normal(size=(1, 6, 3)),
    )
    state = watched.start(x, x)
    for index in range(2):
        watched(x, x, state, np.zeros((1, 6)), Step(index))
    assert {"kept_share", "gradient_error", "running_error"} <= watched.observations(state).keys()
