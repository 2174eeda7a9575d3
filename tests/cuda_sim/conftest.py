"""All of these tests need g++.

Where there is one, a simulator that does not work is a failure, no reason to skip.
"""

import shutil

import pytest

from aopnp.arrays.cuda_sim import works


@pytest.fixture(autouse=True, scope="session")
def _compiler():
    able, reason = works()
    if not shutil.which("g++"):
        pytest.skip(f"CUDA kernels cannot be simulated here: {reason}")
    assert able, reason
