"""Random streams: Philox against its published numbers, the same bits in every spelling, one key
for each use."""

import itertools
import pickle

import numpy as np
import pytest
from scipy import stats

from aopnp import Streams
from aopnp.arrays import array_module, to_device, to_host
from aopnp.arrays.backend import DEVICES
from aopnp.arrays.kernels import philox
from aopnp.arrays.kernels.philox import words
from aopnp.arrays.streams import Purpose
from tests.devices import ON_DEVICES, need

# The known answers that the authors publish with their generator: counter, key, output.
KNOWN = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def parsed(text):
    return tuple(np.array([int(word, 16)], np.uint64) for word in text.split())


def bits(uniform):
    """Return the words that the variates were made of."""
    return (uniform * 2.0**32 - 0.5).astype(np.uint64)


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_known_answers(counter, key, output):
    assert words(parsed(counter), parsed(key)) == parsed(output)


@pytest.mark.parametrize("spelling", [philox, philox.reference], ids=["cpu", "reference"])
def test_the_kernel_makes_the_known_answer_from_key_and_counter(spelling):
    uniform = spelling(np.zeros(1, np.int64), np.zeros(1, np.int64), S=4)
    np.testing.assert_array_equal(bits(uniform)[0], np.concatenate(parsed(KNOWN[0][2])))


def test_where_the_words_of_key_counter_and_place_go():
    key, counter = np.array([0x1234567887654321, -2]), np.array([0x0FEDCBA998765432, -3])
    for spelling in (philox, philox.reference):
        got = bits(spelling(key, counter, S=7))
        for r, s in itertools.product(range(2), range(7)):
            split = [[int(v[r]) >> shift & 0xFFFFFFFF for shift in (0, 32)] for v in (key, counter)]
            x = (s // 4, 0, *split[1])
            out = words(
                tuple(np.array([v], np.uint64) for v in x),
                tuple(np.array([v], np.uint64) for v in split[0]),
            )
            assert got[r, s] == out[s % 4][0]


@pytest.mark.parametrize("device", ["cpu", "cuda-sim", pytest.param("gpu", marks=pytest.mark.gpu)])
def test_every_spelling_gives_the_same_bits_over_several_blocks(device):
    need(device)
    rng = np.random.default_rng(0)
    key, counter = rng.integers(-(2**63), 2**63 - 1, (2, 3))
    for steps, S in itertools.product((counter, counter[:1]), (1, 511, 512, 1100)):
        got = to_host(philox(to_device(key, device), to_device(steps, device), S=S))
        np.testing.assert_array_equal(got, philox.reference(key, steps, S=S))


def test_uniform_variates_are_uniform_and_independent():
    u = Streams(1, [2]).uniform(Purpose.NOISE, 0, step=3, size=400_000, xp=np)[0]
    assert 0 < u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    for lag in (1, 2, 4):  # pairs fall evenly into 16 x 16 cells
        cells = np.bincount(
            (16 * u[:-lag]).astype(int) * 16 + (16 * u[lag:]).astype(int), minlength=256
        )
        assert stats.chisquare(cells).pvalue > 1e-4
    for bit in range(32):
        ones = int((bits(u) >> np.uint64(bit) & np.uint64(1)).sum())
        assert abs(ones - len(u) / 2) < 4.5 * np.sqrt(len(u)) / 2


def test_the_ends_of_the_grid_are_inside_the_open_interval():
    for word in (0, 2**32 - 1):
        assert 0 < (np.uint64(word) + 0.5) * 2.0**-32 < 1
    assert (np.uint64(2**32 - 1) + 0.5) * 2.0**-32 * 9 < 9  # so that floor(9 u) is at most 8


def test_every_seed_run_purpose_index_and_step_has_numbers_of_its_own():
    seen = {}
    streams = {(seed, run): Streams(seed, [run]) for seed in (0, 1) for run in (0, 1)}
    for seed, run, purpose, index, step in itertools.product(
        (0, 1), (0, 1), Purpose, (0, 1), (0, 1)
    ):
        u = streams[seed, run].uniform(purpose, index, step=step, size=4, xp=np)
        seen.setdefault(u.tobytes(), []).append((seed, run, purpose, index, step))
    assert len(seen) == 2 * 2 * len(Purpose) * 2 * 2, [
        uses for uses in seen.values() if len(uses) > 1
    ]


def test_replicas_follow_their_runs_and_those_of_one_run_share():
    streams = Streams(5, [3, 1, 3])
    together = streams.uniform(Purpose.NOISE, 2, step=7, size=10, xp=np)
    assert together.shape == (3, 10)
    for r, run in enumerate(streams.runs):
        alone = Streams(5, [run]).uniform(Purpose.NOISE, 2, step=7, size=10, xp=np)
        np.testing.assert_array_equal(alone, together[r : r + 1])
    shared = Streams(5, [3, 3]).uniform(Purpose.NOISE, 2, step=7, size=10, xp=np)
    np.testing.assert_array_equal(shared, together[:1])


def test_a_longer_draw_begins_with_the_shorter_one_and_repeats():
    streams = Streams()
    long = streams.uniform(Purpose.NOISE, step=0, size=9, xp=np)
    for size in range(1, 9):
        np.testing.assert_array_equal(
            streams.uniform(Purpose.NOISE, step=0, size=size, xp=np), long[:, :size]
        )


@ON_DEVICES
def test_devices_draw_the_same_numbers_without_waiting(device):
    need(device)
    import importlib

    xp, streams = importlib.import_module(DEVICES[device]), Streams(0, [0, 1])
    drawn = [streams.uniform(Purpose.NOISE, 4, step=step, size=33, xp=xp) for step in range(2)]
    for step, u in enumerate(drawn):
        assert array_module(u) is xp
        np.testing.assert_array_equal(
            to_host(u), streams.uniform(Purpose.NOISE, 4, step=step, size=33, xp=np)
        )


def test_a_draw_on_a_device_waits_for_nothing_and_moves_its_keys_once():
    need("cuda-sim")
    from aopnp.arrays.cuda_sim import device

    class Counting:
        """The simulated device, counting what is moved to it."""

        __name__, moved = device.__name__, 0

        def asarray(self, array):
            Counting.moved += 1
            return device.asarray(array)

    streams = Streams(0, range(3))
    with device.no_waiting():
        for step in range(4):
            streams.uniform(Purpose.NOISE, 4, step=step, size=5, xp=Counting())
    assert Counting.moved == 5  # the keys, and each step's number


def test_purposes_keep_their_numbers():
    names = ["INITIAL", "ORDER", "SELECTION", "NOISE", "FEEDBACK", "DIRECTIONS", "ROUNDING"]
    names += ["FORWARD_SELECTION", "INPUT_SELECTION"]
    assert {p.name: p.value for p in Purpose} == {name: value for value, name in enumerate(names)}
    expected = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(5, 2, 8, 1))).gumbel(
        size=4
    )
    got = Streams(3, [5]).draw(Purpose.SELECTION, 8, 1, sample=lambda g: g.gumbel(size=4))
    np.testing.assert_array_equal(got, [expected])
    key = np.random.SeedSequence(3, spawn_key=(5, 3, 8)).generate_state(1, np.uint64).view(np.int64)
    got = Streams(3, [5]).uniform(Purpose.NOISE, 8, step=11, size=6, xp=np)
    np.testing.assert_array_equal(got, philox.reference(key, np.array([11]), S=6))


def test_streams_can_be_sent_to_another_process():
    streams = Streams(2, [4])
    before = streams.uniform(Purpose.NOISE, 0, step=0, size=3, xp=np)
    again = pickle.loads(pickle.dumps(streams))
    np.testing.assert_array_equal(again.uniform(Purpose.NOISE, 0, step=0, size=3, xp=np), before)


def test_normal_variates_are_normal_and_independent():
    z = Streams(1, [2]).normal(Purpose.NOISE, 0, step=3, size=400_000, xp=np)[0]
    assert stats.kstest(z, "norm").pvalue > 1e-4
    n = len(z)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4.5 * np.sqrt(variance / n)
    for lag in (1, 2, 4):  # the two of a pair, neighbours, words of one block
        assert abs((z[:-lag] * z[lag:]).mean()) < 4.5 / np.sqrt(n)
        assert abs((z[:-lag] ** 2 * z[lag:] ** 2).mean() - 1) < 4.5 * np.sqrt(8 / n)


def test_a_pair_of_normal_variates_is_made_of_a_pair_of_uniform_ones():
    streams = Streams(4, [1, 0])
    u = streams.uniform(Purpose.NOISE, 2, step=7, size=10, xp=np)
    radius, angle = np.sqrt(-2 * np.log(u[:, ::2])), 2 * np.pi * u[:, 1::2]
    z = streams.normal(Purpose.NOISE, 2, step=7, size=9, xp=np)
    np.testing.assert_allclose(z[:, ::2], radius * np.cos(angle), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(z[:, 1::2], (radius * np.sin(angle))[:, :4], rtol=1e-12, atol=1e-15)


def test_a_longer_normal_draw_begins_with_the_shorter_one_and_replicas_follow_their_runs():
    streams = Streams(5, [3, 1, 3])
    long = streams.normal(Purpose.NOISE, step=0, size=67, xp=np)
    assert long.shape == (3, 67)
    for size in range(1, 67):
        np.testing.assert_array_equal(
            streams.normal(Purpose.NOISE, step=0, size=size, xp=np), long[:, :size]
        )
    for r, run in enumerate(streams.runs):
        alone = Streams(5, [run]).normal(Purpose.NOISE, step=0, size=67, xp=np)
        np.testing.assert_array_equal(alone, long[r : r + 1])
    assert Streams(5, [3, 3]).normal(Purpose.NOISE, step=0, size=4, xp=np).shape == (1, 4)
    assert (streams.normal(Purpose.NOISE, step=1, size=67, xp=np) != long).all()


@ON_DEVICES
def test_devices_draw_the_same_normal_variates(device):
    """The simulated device to the bit; a real one has a logarithm and a cosine of its own."""
    need(device)
    import importlib

    xp, streams = importlib.import_module(DEVICES[device]), Streams(0, [0, 1])
    for size in (1, 33, 600):
        there = to_host(streams.normal(Purpose.NOISE, 4, step=2, size=size, xp=xp))
        here = streams.normal(Purpose.NOISE, 4, step=2, size=size, xp=np)
        np.testing.assert_allclose(
            there, here, rtol=0 if device == "cuda-sim" else 1e-13, atol=1e-15
        )
