"""Soft weights in floats, in few bits, in one and in none: what is stored, how it moves, what it
costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import SGD, Adam, BatchNorm, Chain, Dense, Streams
from aopnp.arrays import to_device, to_host
from aopnp.arrays.kernels import move_levels, pack_levels, unpack_levels, unpack_signs
from aopnp.estimators import Step
from aopnp.nn import BinaryDense, Parameter
from aopnp.nn.soft_weights import SOFT_WEIGHTS, FloatLatent, Levels, SoftWeight, sign
from aopnp.optim import Bop, Critical, ParameterGroups, SoftWeightUpdate, StepDecay
from aopnp.training.memory_footprint import Bytes, bytes_held
from aopnp.training.serialise import pack
from tests.devices import ON_DEVICES, need

BITS = pytest.mark.parametrize("bits", range(1, 9))
EVERY_STORAGE = pytest.mark.parametrize("storage", SOFT_WEIGHTS.values(), ids=SOFT_WEIGHTS)
FLOAT = FloatLatent()
GRID = (np.arange(2**10) + 0.5) / 2**10  # as Philox draws from the midpoints of 2^32 cells


def never(step, n, xp):
    raise AssertionError("expected no random numbers to be drawn")


def soft_weight(s, storage=FLOAT, uniform=never, **options):
    return SoftWeight(np.asarray(s), storage, uniform, **options)


def moved(bits, s, d, chance):
    """Return s' of soft weights s and displacements d [S], which lie on levels, and chances [S]."""
    storage, (s, d, chance) = Levels(bits), np.broadcast_arrays(*np.atleast_1d(s, d, chance))
    value = storage.encode(s[None].copy())
    storage.move(value, d[None].copy(), lambda: chance[None].copy())
    return storage.soft(value, d.size, np.dtype(float))[0]


# Levels and how they are packed.


@BITS
def test_levels_are_equally_far_apart_none_is_zero_and_the_top_bit_is_the_sign(bits):
    storage, n = Levels(bits), 2**bits
    value = pack_levels(np.arange(n, dtype=np.uint8)[None], bits)
    s = storage.soft(value, n, np.dtype(float))[0]
    np.testing.assert_allclose(s, np.linspace(-1, 1, n), rtol=0, atol=1e-15)
    assert (s[0], s[-1]) == (-1, 1)
    assert np.abs(s).min() == 1 / (n - 1) > 0
    w = storage.signs(value, n, np.dtype(np.float32))[0]
    assert w.dtype == np.float32
    np.testing.assert_array_equal(w, np.where(np.arange(n) >> (bits - 1), 1, -1))
    np.testing.assert_array_equal(w, np.sign(s))


@BITS
def test_initial_values_keep_their_sign_and_go_to_the_nearest_level(bits):
    s = np.append(
        np.random.default_rng(bits).uniform(-1, 1, 5000), [0, -0.0, 1e-300, -1e-16, 1, -1, 1.7, -3]
    )
    storage = Levels(bits)
    value = storage.encode(s[None])
    got = storage.soft(value, s.size, s.dtype)[0]
    assert np.abs(got - np.clip(s, -1, 1)).max() <= 1 / (2**bits - 1) + 1e-15
    ordinary = np.abs(s) > 1e-15  # beside 1, which is added, less is nothing
    np.testing.assert_array_equal(
        storage.signs(value, s.size, s.dtype)[0][ordinary], np.sign(s)[ordinary]
    )
    np.testing.assert_array_equal(
        storage.signs(storage.encode(np.zeros((1, 3))), 3, s.dtype), np.ones((1, 3))
    )
    np.testing.assert_array_equal(FLOAT.encode(s), np.clip(s, -1, 1))


@given(st.integers(1, 8), st.integers(1, 3), st.integers(1, 70), st.data())
def test_packed_levels_come_back(bits, R, S, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    level = rng.integers(0, 2**bits, (R, S)).astype(np.uint8)
    planes = pack_levels(level, bits)
    assert (planes.dtype, planes.shape) == (np.uint8, (R, bits, (S + 7) // 8))
    np.testing.assert_array_equal(unpack_levels(planes, S=S), level)
    signs = unpack_signs(planes, np.array([-1.0, 1.0]), S=S)
    np.testing.assert_array_equal(signs, np.where(level >= 2 ** (bits - 1), 1, -1))


@given(
    st.integers(1, 8), st.integers(1, 3), st.integers(1, 70), st.sampled_from([1, None]), st.data()
)
def test_levels_move_by_the_formula_and_no_others_do(bits, R, S, U, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    level = rng.integers(0, 2**bits, (R, S)).astype(np.uint8)
    d, chance = (
        rng.normal(scale=data.draw(st.sampled_from([0.01, 0.3, 5])), size=(R, S)),
        rng.random((R, U or S)),
    )
    planes = pack_levels(level, bits)
    move_levels(planes, d, chance)
    expected = np.clip(level + np.floor(d / (2 / (2**bits - 1)) + chance), 0, 2**bits - 1)
    np.testing.assert_array_equal(unpack_levels(planes, S=S), expected)
    # The spare bits are still 0.
    np.testing.assert_array_equal(planes, pack_levels(expected.astype(np.uint8), bits))


@pytest.mark.parametrize("spelling", [move_levels, move_levels.reference], ids=["cpu", "reference"])
def test_infinity_goes_to_an_end_and_nan_nowhere(spelling):
    planes = pack_levels(np.array([[3, 3, 3, 0, 7]], np.uint8), 3)
    with np.errstate(invalid="ignore"):
        spelling(planes, np.array([[np.inf, -np.inf, np.nan, -np.inf, np.inf]]), np.array([[0.5]]))
    np.testing.assert_array_equal(unpack_levels(planes, S=5), [[7, 0, 3, 0, 7]])


# Rounding.


@BITS
def test_stochastic_rounding_is_exact_on_average_where_nothing_is_clipped(bits):
    """The mean over all midpoints of 1024 cells is exact where d / Delta is a multiple of
    1/1024."""
    gap = 2 / (2**bits - 1)
    for parts in (0, 1, -1, 300, -513, 1023, 1024, -1024):
        # The level on either side of 0: one step cannot leave [-1, 1].
        start = np.copysign(gap / 2, -parts)
        s = moved(bits, start, gap * parts / 1024, GRID)
        np.testing.assert_allclose(s.mean(), start + gap * parts / 1024, rtol=0, atol=1e-14)
        assert len(np.unique(s)) == (1 if parts % 1024 == 0 else 2)


def after_100_steps(storage, n=1, dtype=np.float32):
    """Return s after 100 displacements of -0.005 from +1."""
    streams = Streams(5)

    def uniform(step, size, xp):
        return streams.uniform(6, 0, step=step, size=size, xp=xp)

    weight = soft_weight(np.ones((1, n, 1), dtype), storage, uniform)
    for step in range(100):
        weight.move(np.full((1, n, 1), -0.005, dtype), step)
    return weight.soft().astype(float)


def test_the_float_latent_walks_to_a_half():
    np.testing.assert_allclose(after_100_steps(FloatLatent()), 0.5, atol=1e-5)


@pytest.mark.parametrize(("bits", "end"), [(5, 1.0), (6, 1.0), (7, 1.0), (8, 1 - 100 * 2 / 255)])
def test_nearest_rounding_stalls_or_goes_too_far(bits, end):
    np.testing.assert_allclose(after_100_steps(Levels(bits, "nearest")), end, atol=1e-6)
    assert bits < 8 or round(end, 3) == 0.216


@pytest.mark.parametrize("bits", [5, 6, 7, 8])
def test_stochastic_rounding_tracks_the_float_latent(bits):
    n, gap = 4_000, 2 / (2**bits - 1)
    s = after_100_steps(Levels(bits), n)
    p = 0.005 / gap  # each step goes one level down with this probability
    deviation = gap * np.sqrt(100 * p * (1 - p))
    assert abs(s.mean() - 0.5) < 5 * deviation / np.sqrt(n)
    assert abs(s.std() / deviation - 1) < 5 / np.sqrt(2 * n)


@BITS
def test_nearest_rounding_stalls_below_half_a_gap_and_moves_from_there(bits):
    gap, middle = 2 / (2**bits - 1), 2**bits // 2
    for start, direction in ((-1 + gap * (middle - 1), 1), (-1 + gap * middle, -1)):
        assert moved(bits, start, direction * 0.49 * gap, 0.5) == pytest.approx(start)
        assert moved(bits, start, direction * 0.51 * gap, 0.5) == pytest.approx(
            start + direction * gap
        )


# One bit.


@given(st.sampled_from([-1.0, 1.0]), st.floats(-3, 3))
def test_one_bit_flips_with_the_probability_of_a_memoryless_flip(w, d):
    """d = -eta g.

    A weight flips below, or above, one threshold of its uniform variate: that is the probability.
    """
    p = np.clip(-w * d / 2, 0, 1)  # clip(eta w g / 2, 0, 1)
    inside = np.array([1e-9, 0.25, 0.5, 0.75, 1 - 1e-9])
    low, high = p * inside, p + (1 - p) * inside  # variates of a flip, and of none
    flips, stays = (1 - low, 1 - high) if w < 0 else (low, high)
    if p > 1e-6:
        np.testing.assert_array_equal(moved(1, w, d, flips), -w)
    if p < 1 - 1e-6:
        np.testing.assert_array_equal(moved(1, w, d, stays), w)


@pytest.mark.parametrize("w", [-1.0, 1.0])
def test_one_bit_is_on_average_the_clipped_step(w):
    for d in np.arange(-3 * 1024, 3 * 1024, 97) / 1024:
        assert moved(1, w, d, GRID).mean() == pytest.approx(
            np.clip(w + d, -1, 1), abs=1e-3 if d % (1 / 512) else 1e-14
        )


@given(
    st.sampled_from([-1.0, 1.0]),
    st.floats(-3, 3) | st.sampled_from([-1.0, 1.0, 0.0, 1 - 1e-9, 1e-9 - 1]),
)
def test_one_bit_to_the_nearest_is_the_naive_rule(w, d):
    """w <- sign(w - eta g): frozen at eta |g| < 1, and at 1 but for a -1 that reaches sign(0) =
    1."""
    weight = soft_weight([[[w]]], SOFT_WEIGHTS["naive"])
    weight.move(np.array([[[d]]]), 0)
    assert weight.numbers() == sign(np.array(w + d))
    assert abs(d) >= 1 or weight.numbers() == w


def test_sign_of_zero_is_one_and_nan_is_seen():
    got = sign(np.array([-2.0, -0.0, 0.0, 1e-30, np.nan, np.inf], np.float32))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [-1, 1, 1, 1, np.nan, 1])


# The parameter.


def test_the_float_latent_is_clipped_and_keeps_nan():
    s = np.array([0.9, -0.9, 0.25, 0.5]).reshape(1, 2, 2)
    weight = soft_weight(s)
    weight.move(np.array([0.5, -0.5, -0.5, np.nan]).reshape(1, 2, 2), 0)
    np.testing.assert_array_equal(weight.soft().ravel(), [1, -1, -0.25, np.nan])
    np.testing.assert_array_equal(weight.numbers().ravel(), [1, -1, -1, np.nan])


@EVERY_STORAGE
def test_weights_keep_their_places(storage):
    """[R, N, P], stored as [R, P, N]: a displacement reaches its own weight only."""
    s = np.random.default_rng(0).uniform(-1, 1, (2, 5, 3)).astype(np.float32)
    weight = soft_weight(s, storage, lambda step, n, xp: np.full((1, n), 0.5))
    assert (weight.shape, weight.dtype) == (s.shape, s.dtype)
    np.testing.assert_array_equal(weight.numbers(), np.sign(s))
    assert weight.numbers().swapaxes(-1, -2).flags.c_contiguous  # as BLAS likes it
    d = np.zeros_like(s)
    d[1, 3, 2] = -2 * np.sign(s[1, 3, 2])
    weight.move(d, 0)
    np.testing.assert_array_equal(weight.numbers(), np.where(d, -1, 1) * np.sign(s))


def test_every_weight_and_step_and_run_has_a_variate_of_its_own_and_nearest_draws_none():
    layer = BinaryDense(6, 4, storage=Levels(5))
    layer.initialise(Streams(0, [3, 4]), np.float32, index=2)
    drawn = [layer.weight.uniform(step, 24, np) for step in (0, 1)]
    assert len(np.unique(drawn)) == 2 * 2 * 24
    other = BinaryDense(6, 4, storage=Levels(5))
    other.initialise(Streams(0, [3, 4]), np.float32, index=3)
    assert not np.isin(other.weight.uniform(0, 24, np), drawn).any()
    # Or `never` would raise.
    soft_weight(np.ones((1, 2, 2)), Levels(5, "nearest")).move(np.ones((1, 2, 2)), 0)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Levels(0), "expected soft weights of 1 to 8 bits, got 0"),
        (lambda: Levels(9), "expected soft weights of 1 to 8 bits, got 9"),
        (lambda: Levels(5.0), "expected soft weights of 1 to 8 bits, got 5.0"),
        (lambda: Levels(5, "up"), "expected the rounding stochastic or nearest, got 'up'"),
        (
            lambda: SoftWeightUpdate(SGD(0.1, weight_decay=0.5)),
            "expected an optimiser without weight decay .*, got one with 0",
        ),
        (lambda: Bop(SGD(0.1), gamma=0), "expected a rate gamma above 0 and up to 1, got 0"),
        (lambda: Bop(SGD(0.1), gamma=1.5), "expected a rate gamma above 0 and up to 1, got 1.5"),
        (lambda: Bop(SGD(0.1), tau=-1.0), "expected a threshold tau >= 0, got -1.0"),
    ],
)
def test_wrong_values_get_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


@pytest.mark.parametrize("build", [lambda: SGD(0.1), lambda: Adam(0.1)])
@EVERY_STORAGE
def test_an_optimiser_that_is_not_told_of_soft_weights_cannot_move_them(storage, build):
    weight, optimiser = soft_weight(np.zeros((1, 6, 5)), storage), build()
    weight.grad = np.ones((1, 6, 5))
    with pytest.raises(
        ValueError, match=r"expected an optimiser that moves soft weights, got .*SoftWeightUpdate"
    ):
        optimiser.update([weight], Step(0, optimiser.lr(0)))


# Optimisers.

INNER = {
    "sgd": lambda lr: SGD(lr, schedule=StepDecay(2, 0.5)),
    "momentum": lambda lr: SGD(lr, 0.9),
    "adam": lambda lr: Adam(lr, schedule=StepDecay(2, 0.5)),
    "critical": lambda lr: Critical(SGD(lr, 0.5), capacity=2, synced=True),
}
EVERY_INNER = pytest.mark.parametrize("inner", INNER.values(), ids=INNER)


def updated(optimiser, parameters, gradients):
    """Update by each of `gradients`, one for each parameter, step by step."""
    for t, each in enumerate(gradients):
        for parameter, gradient in zip(parameters, each, strict=True):
            parameter.grad = gradient
        optimiser.update(parameters, Step(t, optimiser.lr(t)))


@EVERY_INNER
def test_every_optimiser_moves_a_soft_weight_as_a_real_one_as_long_as_nothing_is_clipped(inner):
    rng, shapes = np.random.default_rng(0), [(2, 4, 3), (2, 5)]
    s, bias = rng.uniform(-0.1, 0.1, shapes[0]), rng.normal(size=shapes[1])
    gradients = [[rng.uniform(-1, 1, shape) for shape in shapes] for _ in range(5)]
    lr = np.array([0.02, 0.01])
    soft, real = (
        [soft_weight(s), Parameter(bias.copy())],
        [Parameter(s.copy()), Parameter(bias.copy())],
    )
    optimiser, plain = SoftWeightUpdate(inner(lr)), inner(lr)
    updated(optimiser, soft, gradients)
    updated(plain, real, gradients)
    np.testing.assert_allclose(soft[0].soft(), real[0].value, rtol=1e-13)
    np.testing.assert_array_equal(soft[1].value, real[1].value)
    states = [{}, {}]
    pack(optimiser.saved(soft), "state", states[0])
    pack(plain.saved(real), "state", states[1])
    assert {name: a.shape for name, a in states[0].items()} == {
        name: a.shape for name, a in states[1].items()
    }


def test_apart_works_inside_and_its_two_step_sizes_come_through():
    weight, feedback = (
        soft_weight(np.zeros((1, 1, 1))),
        Parameter(np.zeros((1, 1, 1)), group="feedback"),
    )
    optimiser = SoftWeightUpdate(ParameterGroups(SGD(0.25), SGD(0.5)))
    weight.grad = feedback.grad = np.ones((1, 1, 1))
    optimiser.update([weight, feedback], Step(0, optimiser.lr(0), group_lr=optimiser.group_lr(0)))
    assert (weight.soft(), feedback.value) == (-0.25, -0.5)


@pytest.mark.parametrize("outer", [SoftWeightUpdate, Bop])
def test_soft_weights_in_a_parameter_group_move_as_they_would_alone(outer):
    moved = []
    for optimiser in (outer(SGD(0.1)), ParameterGroups(outer(SGD(0.1)), SGD(0.1))):
        storage = Levels(1) if outer is Bop else FloatLatent()
        weight = soft_weight(
            np.full((1, 1, 1), 0.5), storage, lambda step, n, xp: np.full((1, n), 0.5)
        )
        weight.grad = np.ones((1, 1, 1))
        optimiser.update([weight], Step(0, optimiser.lr(0), group_lr=optimiser.group_lr(0)))
        moved.append(weight.soft())
    np.testing.assert_array_equal(*moved)
    assert moved[0] != 0.5


@pytest.mark.parametrize(
    "inner", [SoftWeightUpdate(SGD(0.1)), Bop(SGD(0.1))], ids=["displace", "bop"]
)
def test_soft_weights_are_displaced_once(inner):
    with pytest.raises(
        ValueError,
        match=r"expected an optimiser of real weights, got .*; it needs no SoftWeightUpdate around",
    ):
        SoftWeightUpdate(inner)


def test_binarynets_step_factor_multiplies_the_displacement():
    for scaled, factor in ((False, 1), (True, np.sqrt((4 + 3) / 1.5))):
        layer = BinaryDense(4, 3, scaled=scaled, init=lambda *_: np.zeros((5, 3)))
        layer.initialise(Streams())
        updated(SoftWeightUpdate(SGD(0.5)), layer.parameters(), [[np.full((1, 4, 3), 0.25)]])
        np.testing.assert_allclose(layer.weight.soft(), -0.125 * factor, rtol=1e-15)


def bop_by_hand(w, gradients, gammas, tau):
    m = np.zeros_like(w)
    for g, gamma in zip(gradients, gammas, strict=True):
        m = (1 - gamma) * m + gamma * g
        w = np.where((np.abs(m) > tau) & (np.sign(m) == np.sign(w)), -w, w)
    return w, m


@pytest.mark.parametrize("storage", ["memoryless", "naive", "float", "5-bit"])
def test_bop_is_its_formula_whatever_holds_the_bit(storage):
    rng = np.random.default_rng(0)
    s, gradients = rng.uniform(-1, 1, (2, 6, 5)), rng.normal(size=(8, 2, 6, 5))
    weight = soft_weight(s, SOFT_WEIGHTS[storage], lambda step, n, xp: rng.random((1, n)))
    gamma, bias = Parameter(np.ones((2, 5))), np.full((2, 5), 0.25)
    optimiser = Bop(SGD(0.5), gamma=0.5, tau=0.3, gamma_schedule=StepDecay(3, 0.5))
    updated(optimiser, [gamma, weight], [[bias, g] for g in gradients])
    gammas = [0.5] * 3 + [0.25] * 3 + [0.125] * 2
    w, m = bop_by_hand(np.sign(s), gradients, gammas, 0.3)
    np.testing.assert_array_equal(weight.numbers(), w)
    assert 0.2 < (w != np.sign(s)).mean() < 0.8
    np.testing.assert_allclose(optimiser.state[weight], m, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(gamma.value, 1 - 8 * 0.5 * 0.25)


def test_bop_flips_strictly_above_its_threshold_and_its_defaults_are_the_papers():
    weight = soft_weight([[[1.0, 1.0, -1.0, -1.0]]], Levels(1, "nearest"))
    updated(
        Bop(SGD(0.1), gamma=1.0, tau=0.25), [weight], [[np.array([[[0.25, 0.26, 0.26, -0.26]]])]]
    )
    np.testing.assert_array_equal(weight.numbers(), [[[1, -1, -1, 1]]])
    assert (Bop(SGD(0.1)).gamma, Bop(SGD(0.1)).tau) == (1e-3, 1e-6)


# Replicas and devices.


@EVERY_STORAGE
@pytest.mark.parametrize(
    "build",
    [lambda lr: SoftWeightUpdate(Adam(lr)), lambda lr: Bop(SGD(lr), 0.5, 0.1)],
    ids=["adam", "bop"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_replicas_move_as_each_alone_bit_for_bit(storage, build, dtype):
    gradients, lr = (
        np.random.default_rng(1).normal(size=(4, 3, 5, 3)).astype(dtype),
        np.array([0.3, 0.07, 0.4]),
    )

    def end(replicas):
        layer = BinaryDense(5, 3, storage=storage)
        layer.initialise(Streams(1, replicas), dtype)
        updated(build(lr[replicas]), layer.parameters(), [[g[replicas]] for g in gradients])
        return layer.weight.value

    together = end([0, 1, 2])
    for r in range(3):
        np.testing.assert_array_equal(together[r], end([r])[0])


@ON_DEVICES
@EVERY_STORAGE
@pytest.mark.parametrize(
    "build",
    [lambda: SoftWeightUpdate(SGD(0.1, 0.5)), lambda: Bop(SGD(0.1), 0.5, 0.1)],
    ids=["sgd", "bop"],
)
def test_a_device_moves_the_same_bits_and_never_waits(device, storage, build):
    need(device)
    from aopnp.arrays.cuda_sim.device import no_waiting

    gradients, ends = np.random.default_rng(1).normal(size=(4, 2, 9, 3)).astype(np.float32), []
    for where in ("cpu", device):
        layer = BinaryDense(9, 3, storage=storage)
        layer.initialise(Streams(1, [0, 1]), np.float32, where)
        there = [[to_device(g, where)] for g in gradients]
        with no_waiting():
            updated(build(), layer.parameters(), there)
        ends.append(
            [to_host(a) for a in (layer.weight.value, layer.weight.numbers(), layer.weight.soft())]
        )
    for got, expected in zip(*reversed(ends), strict=True):
        np.testing.assert_array_equal(got, expected)


# Bytes.


def held(storage, optimiser, dtype=np.float32):
    """Return the ledger of a network with 64 x 40 binary and 40 x 10 real weights after one
    update."""
    network = Chain(BinaryDense(64, 40, storage=storage), BatchNorm(40), Dense(40, 10))
    network.initialise(Streams(), dtype)
    parameters = network.parameters()
    updated(optimiser, parameters, [[np.ones(parameter.shape, dtype) for parameter in parameters]])
    return bytes_held(network, optimiser)


def test_the_byte_ledger_by_hand():
    n, rest = 64 * 40, 2 * 40 + 40 * 10 + 10
    ledger = held(Levels(5), SoftWeightUpdate(Adam()))
    assert ledger == {
        "binary": Bytes(5 * n // 8, 8 * n, 4 * n),
        "real": Bytes(4 * rest, 8 * rest, 0),
    }
    assert ledger["binary"].persistent == 5 * n // 8 + 8 * n
    assert held(FloatLatent(), SoftWeightUpdate(SGD()), np.float64)["binary"] == Bytes(
        8 * n, 0, 8 * n
    )
    assert held(Levels(1), Bop(SGD()))["binary"] == Bytes(n // 8, 4 * n, 4 * n)
    assert held(Levels(3), SoftWeightUpdate(SGD(0.1, 0.9)))["binary"] == Bytes(
        3 * n // 8, 4 * n, 4 * n
    )


def test_five_bits_are_6_4_times_smaller_with_sgd_and_1_39_with_adam():
    for build, ratio in (
        (lambda: SoftWeightUpdate(SGD()), 6.4),
        (lambda: SoftWeightUpdate(Adam()), 96 / 69),
    ):
        full, small = (
            held(storage, build())["binary"].persistent for storage in (FloatLatent(), Levels(5))
        )
        assert full / small == ratio
    assert round(96 / 69, 2) == 1.39
