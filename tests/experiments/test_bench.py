"""The benchmark's code, run through with tiny sizes: what it measures there means nothing."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import experiments
from aopnp import AOP, Exact, RowMemory, topk
from aopnp.estimators import Step
from aopnp.estimators.policies import bernoulli
from experiments.bench import conv, cpu, eager, gpu, grids, growth, memory, mlp, steps, timing
from experiments.bench.row import Row, against
from experiments.paper import configurations
from tests.devices import need
from tests.experiments.small import files
from tests.experiments.test_refusals import Command


def test_every_figure_is_measured_on_the_simulated_device():
    need("cuda-sim")
    figures = [
        *gpu.bandwidth("cuda-sim", 1, [0]),
        *gpu.selection("cuda-sim", 1, [8]),
        *gpu.products("cuda-sim", 1, [(8, 4, 3)], [2, 4]),
    ]
    assert [what for what, _, _ in figures] == [
        "accumulate + norms / copy bandwidth",
        "selection of S/8 rows",
        "AOP step / exact product",
        "AOP step / exact product",
    ]
    assert all(float(figure.split()[0]) > 0 for _, _, figure in figures[1:])


def test_without_a_gpu_it_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.bench.probe", lambda device: (False, "a reason"))
    assert "expected a working GPU to measure on, got none: a reason" in command(
        "bench", "gpu"
    ).refusal("bench")


def test_the_record_says_what_has_not_been_measured():
    record = (Path(experiments.__file__).parent / "BENCHMARKS.md").read_text(encoding="utf-8")
    assert "not yet measured" in record


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--repeats", 0], "expected --repeats of at least 1, got 0; 20 make a steady median"),
        (
            ["growth", "--only", "step"],
            "expected no --only with bench growth, got --only step; it picks a row of cpu",
        ),
    ],
)
def test_wrong_use_is_refused(
    words: list[object], sentence: str, command: Command, out: Path
) -> None:
    assert command("bench", *words).refusal("bench") == sentence
    assert not out.exists()


def test_a_row_says_whether_its_aim_is_reached():
    better, worse = (against("a", "b", ours, ("them", 1.0), 0.5) for ours in (0.5, 0.51))
    assert str(better) == "| a | b | 500 ms | them: 1 s | 0.5 | at most 0.5 | yes |"
    assert str(worse) == "| a | b | 510 ms | them: 1 s | 0.51 | at most 0.5 | NO |"
    assert (
        str(Row("a", "b", "not measured: why")) == "| a | b | not measured: why | - | - | - | - |"
    )


def burn(seconds: float) -> None:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_opponents_are_timed_in_cpu_seconds_and_in_turn():
    order: list[str] = []

    def slow() -> None:
        order.append("slow")
        burn(0.006)

    def sleepy() -> None:
        order.append("sleepy")
        time.sleep(0.01)
        burn(0.003)

    once, again = timing.interleaved(4, slow, sleepy)
    assert order[-8:] == ["slow", "sleepy"] * 4
    assert once == pytest.approx(0.006, rel=0.3)
    assert again == pytest.approx(0.003, rel=0.3)


def test_a_blas_that_is_loaded_late_runs_one_thread_too():
    code = (
        "import threadpoolctl; from experiments.bench import steps, timing; "
        "on, seen = steps.problem(4, 3, 2), []; work = steps.step(steps.Exact(), on); "
        "timing.interleaved(1, lambda: (work(), seen.append(threadpoolctl.threadpool_info()))); "
        "print(*(f'{pool[\"filepath\"]} {pool[\"num_threads\"]}' for pool in seen[-1]), sep='\\n')"
    )
    pools = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert len([pool for pool in pools if "scipy.libs" in pool]) == 1
    assert {pool.rsplit(maxsplit=1)[1] for pool in pools} == {"1"}


def test_samples_that_lost_their_core_are_left_out():
    assert (
        timing._median(
            [(1.0, 1.05), (3.0, 9.0), (1.2, 1.2), (5.0, 8.0), (1.1, 1.1), (2.0, 2.0), (2.1, 2.1)]
        )
        == 1.1
    )
    assert timing._median([(1.0, 2.0), (1.2, 9.0), (1.1, 4.0)]) == 1.1


def test_a_measured_step_moves_the_weights_by_the_gradient():
    on = steps.problem(8, 5, 3)
    steps.step(Exact(), on)()
    np.testing.assert_allclose(on.w, -steps.LR * on.x.swapaxes(-1, -2) @ on.g, rtol=1e-5, atol=1e-7)
    for work in (steps.outer_product_step, steps.product_alone):
        all_rows = replace(on, w=np.zeros_like(on.w))
        work(all_rows, 8)()
        np.testing.assert_allclose(all_rows.w, on.w, rtol=1e-5, atol=1e-7)
    assert on.w.swapaxes(-1, -2).flags.c_contiguous


def test_the_rows_that_need_no_data_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LIMITS", {(16, 12, 8): 0.2})
    monkeypatch.setattr(mlp, "WIDTHS", (6, 5, 4, 3))
    monkeypatch.setattr(mlp, "M", 16)
    monkeypatch.setattr(mlp, "import_torch", lambda: None)
    rows = [row for name in ("step", "layer", "mlp") for row in cpu.ROWS[name](1, None)]
    assert len(rows) == 2 + 2 + 3
    assert rows[-1].ours == "not measured: torch is not installed"
    assert all(row.figure is not None and row.figure >= 0 and row.limit for row in rows[:-1])


SMALL_CONVOLUTION = {"IMAGES": (16, 5, 5, 2), "OUTPUTS": 3, "KERNEL": 3, "PADDING": 1}


@pytest.fixture
def small_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL_CONVOLUTION.items():
        monkeypatch.setattr(conv, name, value)


def test_the_convolutions_rows_are_measured(
    small_convolution: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv, "import_torch", lambda: None)
    *rows, last = cpu.ROWS["conv"](1, None)
    assert last.ours == "not measured: torch is not installed"
    assert [(row.opponent.split(":")[0], row.limit) for row in rows] == [
        ("exact, unit patch", 0.16), ("exact, unit example", 0.16)
    ] * 3  # fmt: skip
    assert all(
        row.figure and row.size.startswith("K/M = 1/8, (16, 5x5x2 -> 3, 3x3), ") for row in rows
    )


def test_opponents_of_the_convolution_make_the_same_gradient(small_convolution: None) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    x, g = conv.images_and_gradients()
    ours = conv.weight_gradient(Exact(), x, g, None)()
    np.testing.assert_allclose(
        conv.weight_gradient(Exact(), x, g, None, "patch")(), ours, rtol=1e-5, atol=1e-4
    )
    for layout in ("contiguous_format", "channels_last"):
        theirs = eager.conv_weight_gradient(torch, x[0], g[0], 3, 1, layout)()  # [P, C, A, B]
        np.testing.assert_allclose(
            theirs.permute(2, 3, 1, 0).reshape(1, -1, 3), ours, rtol=1e-5, atol=1e-4
        )


@pytest.mark.parametrize("K", [1, 2, 3])
def test_a_measured_draw_keeps_what_is_expected(K: int, small_convolution: None) -> None:
    x, g = conv.images_and_gradients()
    for estimator in (AOP(topk, K), AOP(topk, K, RowMemory()), AOP(bernoulli, K)):
        noise = conv.noise_that_keeps(K, estimator, x, g)
        chosen = estimator.select(x.reshape(1, 16, -1), g.reshape(1, 16, -1), noise, Step())
        assert chosen is not None
        assert chosen.count[0] == K
        rows, weights = chosen.rows[0, :K], chosen.weights[0, :K, None, None, None].astype(x.dtype)
        alone = conv.weight_gradient(Exact(), x[:, rows] * weights, g[:, rows], None)()
        sampled = conv.weight_gradient(estimator, x, g, noise)()
        np.testing.assert_allclose(sampled, alone, rtol=1e-5, atol=1e-5)


def test_without_data_each_row_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> Iterator[None]:
        raise grids.DataError("no data here")

    monkeypatch.setattr(grids, "load", refuse)
    rows = [
        row
        for name in ("mnist", "energy", "energy-command", "memory", "paper")
        for row in cpu.ROWS[name](1, "")
    ]
    assert [(row.ours, row.figure) for row in rows] == [("not measured: no data here", None)] * 5


def test_growth_writes_every_series(
    command: Command, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small: dict[str, list[int]] = {
        "K_OF_256": [4, 256],
        "WIDTHS": [16, 32],
        "BATCHES": [16],
        "REPLICAS": [1, 2],
    }
    for name, values in small.items():
        monkeypatch.setattr(growth, name, values)
    ended = command("bench", "growth", "--repeats", 1)
    assert (ended.code, ended.err) == (0, "")
    assert files(out) == ["bench", "bench/growth.json"]
    record: dict[str, Any] = json.loads((out / "bench" / "growth.json").read_text())
    assert (record["schema"], record["repeats"]) == (1, 1)
    assert {name: series.pop("x") for name, series in record["series"].items()} == {
        "k": [4 / 256, 1], "width": [16, 32], "batch": [16], "replicas": [1, 2],
    }  # fmt: skip
    ratios = [values for series in record["series"].values() for values in series.values()]
    assert [len(values) for values in ratios] == [2, 2, 1, 2, 2]
    assert ended.out.count("| growth, step / exact step |") == 5
    assert ended.out.count("| growth, stacked / one by one, ") == 4
    assert all(0 < ratio < np.inf for values in ratios for ratio in values)


def test_memory_counts_children_and_ends_them(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps_rollup").is_file():
        pytest.skip("needs /proc/*/smaps_rollup")
    note = tmp_path / "pid"
    child = "held = bytearray(b'x') * 80_000_000; import time; time.sleep(60)"
    code = (
        "import pathlib, subprocess, sys, time; "
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}]); "
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    peak = memory.peak_megabytes([sys.executable, "-c", code], seconds=2)
    assert peak is not None
    assert 80 < peak < 160
    for _ in range(50):
        status = Path(f"/proc/{note.read_text()}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the child still runs")


def test_a_command_that_fails_is_no_measurement() -> None:
    if not Path("/proc/self/smaps_rollup").is_file():
        pytest.skip("needs /proc/*/smaps_rollup")
    with pytest.raises(subprocess.CalledProcessError):
        memory.peak_megabytes([sys.executable, "-c", "import sys; sys.exit(3)"], seconds=5)


@pytest.mark.parametrize("config", configurations("mnist")[::3], ids=lambda config: config.stem())
def test_the_step_by_hand_in_pytorch_is_the_papers(config: Any) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    M, rng = config.batch_size, np.random.default_rng(0)
    x, labels = rng.standard_normal((2 * M + 1, 784), np.float32), rng.integers(0, 10, 2 * M + 1)
    by_hand = eager.MnistByHand(torch, x, labels, config.policy, config.memory, config.k or 0, M)
    before, rows = by_hand.w.clone(), by_hand.order[:M]
    by_hand.step()
    w = before.clone().requires_grad_()
    losses = torch.nn.functional.cross_entropy(
        torch.softmax(by_hand.x[rows] @ w, 1), by_hand.t[rows]
    )
    (gradient,) = torch.autograd.grad(losses, w)
    moved = (before - by_hand.w) / by_hand.lr
    if config.policy == "exact":
        torch.testing.assert_close(moved, gradient, rtol=1e-3, atol=1e-5)
        return
    assert torch.linalg.matrix_rank(moved, rtol=1e-3) <= config.k
    if config.memory == "row":
        owed = by_hand.a_mem.T @ by_hand.b_mem
        torch.testing.assert_close(moved + owed, gradient, rtol=1e-3, atol=1e-5)
        assert (by_hand.a_mem.abs().sum(1) == 0).sum() == config.k
