"""Blocks and threads have their turns in the order that was asked for."""

import contextlib

import numpy as np
import pytest

from aopnp.arrays.cuda_sim import thread_order
from tests.cuda_sim.small import kernel

N = 100  # threads
NOTE_TURN = "out[atomicAdd(next, 1)] = blockIdx.x * blockDim.x + threadIdx.x;"


def turns(f):
    """The order in which five blocks of N threads had their turns."""
    out, next_place = np.zeros(5 * N, np.int32), np.zeros(1, np.int32)
    f((5,), (N,), (out, next_place))
    return out


def test_thread_orders_are_what_they_say():
    f = kernel("int* out, int* next", NOTE_TURN)
    seen = {}
    for order in [("forward", 0), ("reverse", 0), ("random", 1), ("random", 2)]:
        with thread_order(*order):
            seen[order] = turns(f)
            np.testing.assert_array_equal(seen[order], turns(f), err_msg="the same every time")
    np.testing.assert_array_equal(seen["forward", 0], np.arange(5 * N))
    np.testing.assert_array_equal(seen["reverse", 0], np.arange(5 * N)[::-1])
    blocks = set()
    for seed in (1, 2):
        np.testing.assert_array_equal(np.sort(seen["random", seed]), np.arange(5 * N))
        by_block = seen["random", seed].reshape(5, N)
        assert (by_block // N == by_block[:, :1] // N).all()  # one block after the other
        blocks.add(tuple(by_block[:, 0] // N))
        assert len({tuple(row % N) for row in by_block}) == 5  # each with an order of its own
    assert len(blocks) == 2


def test_thread_order_ends_with_its_block():
    f = kernel("int* out, int* next", NOTE_TURN)
    last = 5 * N - 1
    with thread_order("reverse"):
        with contextlib.suppress(KeyError), thread_order("forward"):
            assert turns(f)[0] == 0
            raise KeyError
        assert turns(f)[0] == last
    assert turns(f)[0] == 0
    unknown = "expected an order among forward, reverse, random, got 'backward'"
    with pytest.raises(ValueError, match=unknown), thread_order("backward"):
        pass


def test_random_order_is_drawn_anew_at_every_turn():
    f = kernel(
        "int* out, int* next",
        f"{NOTE_TURN} __syncthreads(); {NOTE_TURN}",
    )
    out = np.zeros((2, N), np.int32)
    with thread_order("random"):
        f((1,), (N,), (out, np.zeros(1, np.int32)))
    np.testing.assert_array_equal(np.sort(out), [np.arange(N)] * 2)
    assert (out[0] != out[1]).any()
