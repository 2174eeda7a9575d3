"""Every kernel is clean under three sanitizers, and faults that are planted in them are seen.

    fault                               seen by
    a barrier is missing                thread sanitizer, in every order; results, in some orders
    a wrong shuffle mask                SimulationError
    one element too many (n <= N)       address sanitizer; the result
    a shared update that is not atomic  thread sanitizer alone (here, one thread runs at a time)
    a shared array that is too small    address and undefined-behaviour sanitizer
    64 bits for a parameter of 32       TypeError

A sanitizer's library must be in a process from its start, so its kernels run in one of their own
(run_kernels.py).
"""

import functools
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from aopnp.arrays.cuda_sim import RawKernel, SimulationError, sanitizer_environment, thread_order
from tests.cuda_sim.run_kernels import (
    CLEAN,
    CUDA,
    FAULTY,
    WITHOUT_BARRIER,
    arguments,
    edited,
    launch,
)
from tests.cuda_sim.small import ORDERS

REPORTS = {
    "thread": "ThreadSanitizer: data race",
    "address": "AddressSanitizer: ",
    "undefined": "runtime error: ",
}


def python(sanitizer, *arguments):
    environment = {
        **os.environ,
        **sanitizer_environment(sanitizer),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment
    )


@functools.cache
def need(sanitizer):
    """Return why `sanitizer` cannot be used here; an empty text where it can."""
    try:
        probe = python(sanitizer, "-c", "print('alive')")
    except SimulationError as error:
        return str(error)
    return (
        ""
        if probe.stdout == "alive\n"
        else f"a process with the {sanitizer} sanitizer ends with {probe.stderr}"
    )


def reports(sanitizer, cases):
    """Run the cases in one process; return its result and what the sanitizer said of each case."""
    if reason := need(sanitizer):
        pytest.skip(reason)
    done = python(sanitizer, "-m", "tests.cuda_sim.run_kernels", sanitizer, *cases)
    said = (
        dict(
            part.split("\n", 1) for part in done.stderr.split("== ")[1:] if not part.startswith("=")
        )
        if cases
        else {}
    )
    return done, {case: said.get(case, "") for case in cases}


@pytest.mark.parametrize("sanitizer", REPORTS)
def test_every_kernel_is_clean(sanitizer):
    assert len(CUDA) >= 4
    done, _ = reports(sanitizer, CLEAN)
    assert (done.returncode, done.stdout) == (0, "all done\n"), done.stderr
    assert done.stderr.splitlines() == [f"== {case}" for case in CLEAN]  # and nothing else


def test_the_thread_sanitizer_sees_every_missing_barrier_and_every_race():
    cases = [*WITHOUT_BARRIER, "non-atomic update"]
    assert len(cases) >= 7
    done, said = reports("thread", cases)
    assert (done.returncode, done.stdout) == (66, "all done\n"), done.stderr
    for case in cases:
        assert REPORTS["thread"] in said[case], case
    # Lines are known of the libraries that were loaded before the first report.
    assert "SUMMARY: ThreadSanitizer: data race" in said[cases[0]]
    assert "kernel.cu:6" in said[cases[0]]


@pytest.mark.parametrize(
    ("case", "report"),
    [("off by one", "heap-buffer-overflow"), ("shared array too small", "global-buffer-overflow")],
)
def test_the_address_sanitizer_sees_accesses_beyond_an_array(case, report):
    done, said = reports("address", [case])
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert REPORTS["address"] + report in said[case]
    assert "kernel.cu:" in said[case]


def test_the_undefined_behaviour_sanitizer_sees_an_index_beyond_a_shared_array():
    case = "shared array too small"
    _, said = reports("undefined", [case])
    assert "kernel.cu:6" in said[case]
    assert REPORTS["undefined"] + "index 2 out of bounds for type 'double [2]'" in said[case]


def wrong_orders(name, old, new, place=0):
    """Return the thread orders in which the edited kernel disagrees with its reference."""
    kernel, wrong = CUDA[name], []
    arrays = arguments(kernel, np.float64, shared=False)
    # Room for one more.
    roomy = [np.append(a, 1).astype(a.dtype)[: a.size].reshape(a.shape) for a in arrays]
    expected = kernel.reference(*arrays)
    for order, seed in ORDERS:
        with thread_order(order, seed):
            (got,) = launch(kernel, edited(kernel, np.float64, old, new, place), np.float64, roomy)
        if not np.allclose(got, expected, rtol=1e-12):
            wrong.append((order, seed))
    return wrong


def test_a_missing_barrier_changes_results_in_some_thread_orders_only():
    assert wrong_orders("log_norms", "__syncthreads();", "__syncthreads();") == []
    wrong = wrong_orders("log_norms", "__syncthreads();", "")
    assert ("forward", 0) in wrong
    assert ("reverse", 0) not in wrong


def test_one_element_too_many_changes_the_result_in_every_thread_order():
    assert wrong_orders("log_norms", "n < N", "n <= N") == ORDERS


@pytest.mark.parametrize("mask", ["0x0000ffff", "0x7fffffff", "1"])
def test_a_wrong_shuffle_mask_is_an_error(mask):
    kernel = CUDA["log_norms"]
    code = edited(kernel, np.float32, "0xffffffff", mask)
    with pytest.raises(
        SimulationError,
        match=r"log_norms: __shfl_down_sync \(kernel.cu:5\): lane \d+ is not in the mask",
    ):
        launch(kernel, code, np.float32, arguments(kernel, np.float32, shared=False))


@pytest.mark.parametrize("name", CUDA)
def test_a_scalar_of_another_width_is_refused(name):
    kernel = CUDA[name]
    first = kernel.letters[0]  # all sizes are passed in 32 bits, the first one behind the arrays
    code = re.sub(
        rf"\bint {first}\b", f"long long {first}", kernel.source(np.dtype(np.float32)), count=1
    )
    assert code != kernel.source(np.dtype(np.float32))
    with pytest.raises(
        TypeError, match=f"{name}: expected argument .* to be a scalar of type int64, got int32 "
    ):
        launch(kernel, code, np.float32, arguments(kernel, np.float32, shared=False))


@pytest.mark.parametrize("wide", [np.int64(5), 5])
def test_sixty_four_bits_for_thirty_two_are_refused(wide):
    kernel = CUDA["log_norms"]
    arrays, run = (
        arguments(kernel, np.float32, shared=False),
        RawKernel(kernel.source(np.dtype(np.float32)), "log_norms"),
    )
    with pytest.raises(
        TypeError,
        match=r"log_norms: expected argument 4 to be a scalar of type int32, got int(64)? 5",
    ):
        run(
            (5, 2),
            (128,),
            (*arrays, np.zeros((2, 5)), np.int32(2), wide, *map(np.int32, (150, 3, 2))),
        )


def test_every_case_is_run():
    assert len({*CLEAN, *FAULTY}) == len(CLEAN) + len(FAULTY)
    assert {name.split()[0] for name in CLEAN} >= {*CUDA}
