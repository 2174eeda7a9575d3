"""What all tests share: the Hypothesis profile, the data folder, one BLAS thread."""

import os
from pathlib import Path

import pytest
import scipy.linalg.blas  # noqa: F401 - a BLAS that is loaded later would escape the limit below
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

# Deadline off: the first call of a kernel compiles it. Derandomised: a red test is red for
# everybody.
settings.register_profile(
    "aopnp",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("aopnp")


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def data_dir():
    """Return the folder of the data sets, or skip."""
    folder = os.environ.get("AOPNP_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the data sets: AOPNP_DATA_DIR names no folder")
    return folder
