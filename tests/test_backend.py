"""The array-module switch, and what importing costs."""

import subprocess
import sys

import numpy as np
import pytest

from aopnp.arrays import array_module, has_gpu, to_device, to_host
from aopnp.arrays.backend import probe
from tests.devices import need


class FakeDeviceArray:
    """Stands for a CuPy array: only its module is looked at."""

    shape = (2,)


FakeDeviceArray.__module__ = "cupy._core.core"


def test_numpy_arrays_and_numbers_belong_to_numpy():
    assert array_module(np.ones(2), np.zeros(1)) is np
    assert array_module(1.0, np.zeros(1)) is np
    array = np.ones(3)
    assert to_host(array) is array


def test_mixing_devices_is_an_error_that_names_both():
    with pytest.raises(TypeError, match="got cupy and numpy together; move one"):
        array_module(FakeDeviceArray(), np.ones(2))


def test_without_a_gpu_the_reason_and_the_cure_are_said():
    works, reason = has_gpu()
    if works:
        pytest.skip(f"a GPU works here: {reason}")
    with pytest.raises(
        RuntimeError, match=r"expected a working device gpu, got none: .*pip install"
    ):
        to_device(np.ones(2))


def test_two_builds_of_cupy_are_detected(monkeypatch):
    monkeypatch.setattr("aopnp.arrays.backend.version", lambda name: "14.0")
    works, reason = probe.__wrapped__("gpu")
    assert not works
    assert "cupy-cuda12x 14.0 and cupy-cuda13x 14.0 are installed together" in reason
    assert "uninstall both, then install one" in reason


def test_the_probe_does_something_on_the_device(monkeypatch):
    """It launches a kernel and multiplies matrices: a device that computes wrongly does not
    pass."""
    need("cuda-sim")
    assert probe.__wrapped__("cuda-sim")[0]
    monkeypatch.setattr(
        "aopnp.arrays.backend._DOUBLE", 'extern "C" __global__ void twice(float* x) {}'
    )
    works, reason = probe.__wrapped__("cuda-sim")
    assert (works, "computes wrongly" in reason) == (False, True)


def test_importing_compiles_nothing_and_loads_neither_numba_nor_scipy():
    late = ("numba", "scipy", "cupy", "hypothesis")
    code = f"import aopnp, sys; print([name for name in {late} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
