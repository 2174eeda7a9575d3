"""Replay of the authors' trajectories, step by step (tests/reference; energy data, K = 9, M = 144,
40 steps)."""

from pathlib import Path

import numpy as np
import pytest

from aopnp import AOP, SGD, Dense, Exact, MeanSquaredError, NoMemory, RowMemory, randk, topk
from aopnp.arrays.backend import to_device, to_host
from aopnp.estimators import Step
from aopnp.nn import Parameter
from aopnp.training import backprop
from experiments.problems import energy_data
from tests.devices import need

K, M, LR = 9, 144, 0.01
CASES = [
    (policy, memory) for policy in ("topk", "weightedk", "randk") for memory in ("mem", "nomem")
]
TOLERANCE = {"f64": 1e-11, "f32": 1e-5}


def layer(case, recorded, dtype, device):
    """Return the recorded initial network with the estimator of `case`."""
    estimator = Exact()
    if case != "baseline":
        # Logged rows are replayed by noise that makes them the K largest keys.
        policy, memory = case.split("_")
        estimator = AOP(
            topk if policy == "topk" else randk, K, RowMemory() if memory == "mem" else NoMemory()
        )
    dense = Dense(16, 1, estimator)
    dense.weight = Parameter(
        to_device(recorded["W0"].astype(dtype).reshape(1, 16, 1).copy(), device)
    )
    dense.bias = Parameter(to_device(recorded["b0"].astype(dtype).reshape(1, 1).copy(), device))
    return dense


@pytest.mark.parametrize("device", ["cpu", "cuda-sim", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("kind", TOLERANCE)
@pytest.mark.parametrize("case", ["baseline", *(f"{policy}_{memory}" for policy, memory in CASES)])
def test_replay(case, kind, device, data_dir):
    need(device)
    dtype = {"f64": np.float64, "f32": np.float32}[kind]
    with np.load(Path(__file__).parent / "reference" / f"energy_steps_{kind}.npz") as arrays:
        recorded = {
            name.removeprefix(f"{case}_"): arrays[name]
            for name in arrays
            if name.startswith(f"{case}_")
        }
    x, y = (a.astype(dtype) for a in energy_data(data_dir, M).train)
    network, loss, optimiser = layer(case, recorded, dtype, device), MeanSquaredError(), SGD(LR)
    rows = recorded["order"].reshape(-1, M)
    assert len(rows) == len(recorded["W"]) == 40
    for t in range(40):
        noise = np.zeros((1, M))
        if "selected" in recorded and not case.startswith("topk"):
            noise[0, recorded["selected"][t]] = np.arange(K, 0, -1)
        step = Step(t, optimiser.lr(t), {network: to_device(noise, device)}, training=True)
        batch = (to_device(a[rows[t]][None], device) for a in (x, y))
        value, _ = backprop(network, loss, *batch, step)
        optimiser.update(network.parameters(), step)
        assert abs(float(value[0]) - recorded["step_loss"][t]) <= TOLERANCE[kind] * abs(
            recorded["step_loss"][t]
        )
        close(to_host(network.weight.value)[0, :, 0], recorded["W"][t], TOLERANCE[kind])
    close(to_host(network.bias.value)[0], recorded["b_final"], TOLERANCE[kind])


def close(got, reference, tolerance):
    assert np.abs(got - reference).max() <= tolerance * np.abs(reference).max()
