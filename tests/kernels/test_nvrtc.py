"""Every CUDA spelling is accepted by NVIDIA's own compiler, for every architecture that is
supported, without a GPU."""

import numpy as np
import pytest

from aopnp.arrays.kernels import KERNELS
from tests.kernels import nvrtc

pytestmark = pytest.mark.skipif(
    not nvrtc.installed(), reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc-cu12)"
)

ARCHITECTURES = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]
CUDA = {name: kernel for name, kernel in KERNELS.items() if kernel.cuda}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", CUDA.values(), ids=CUDA)
def test_compiles_for_every_architecture_without_a_warning(kernel, dtype):
    for architecture in ARCHITECTURES:
        code, log = nvrtc.compile_source(kernel.source(np.dtype(dtype)), architecture)
        # sm_70 is old, which the compiler says of every source: no fault of this one
        assert [line for line in log.splitlines() if "Architectures prior to" not in line] == [], (
            architecture
        )
        assert code.startswith(b"\x7fELF")
        # Under the name that RawKernel asks the driver for.
        assert f".text.{kernel.name}".encode() in code


def faulty(old, new):
    source = CUDA["log_norms"].source(np.dtype(np.float32))
    assert old in source
    return source.replace(old, new)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("old", "new", "log"),
    [
        ("double total = 0;", "double total = 0", r'kernel\.cu\(9\): error: expected a ";"'),
        (
            "double partial[32]",
            "double partial[6145]",
            r"too much shared data \(0xc008 bytes, 0xc000 max\)",
        ),
    ],
    ids=["syntax error", "49160 bytes of shared memory"],
)
def test_what_no_gpu_can_run_fails_with_the_log(architecture, old, new, log):
    with pytest.raises(nvrtc.CompilationError, match=log):
        nvrtc.compile_source(faulty(old, new), architecture)


def test_the_largest_shared_array_still_compiles():
    code, _ = nvrtc.compile_source(faulty("double partial[32]", "double partial[6144]"), "sm_70")
    assert code


def test_a_warning_is_seen():
    _, log = nvrtc.compile_source(
        faulty("double total = 0;", "double total = 0; int unused = 1;"), "sm_80"
    )
    assert 'warning #177-D: variable "unused" was declared but never referenced' in log


def test_an_unknown_architecture_is_an_error():
    with pytest.raises(nvrtc.CompilationError, match="gpu-architecture"):
        nvrtc.compile_source("", "sm_1")
