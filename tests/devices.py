"""The devices that a test runs on: the simulated GPU everywhere, a real one where it works (marker
`gpu`)."""

import pytest

from aopnp.arrays.backend import probe

ON_DEVICES = pytest.mark.parametrize(
    "device", ["cuda-sim", pytest.param("gpu", marks=pytest.mark.gpu)]
)


def need(device):
    """Skip with the probe's reason where `device` does not work."""
    works, reason = probe(device)
    if not works:
        pytest.skip(f"{device}: {reason}")
