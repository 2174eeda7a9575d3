"""A whole training step of an MLP: our outer products against our exact step and PyTorch's."""

from collections.abc import Iterator

import numpy as np

from aopnp import AOP, SGD, Chain, CrossEntropy, Dense, Exact, ReLU, RowMemory, Streams, topk
from aopnp.arrays.backend import Array
from aopnp.estimators import Estimator, Step
from aopnp.training import backprop
from experiments.bench.eager import import_torch, mlp_step
from experiments.bench.row import Row, against
from experiments.bench.steps import SHARE, Work
from experiments.bench.timing import interleaved

M, WIDTHS, LR = 256, (784, 1024, 1024, 10), 1e-2
LIMIT = 1 / 1.3


def mlp_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """Weight gradients at 1/8 with row memory in all three layers, and in the two wide ones only."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((M, WIDTHS[0]), np.float32), rng.integers(0, WIDTHS[-1], M)
    sparse = AOP(topk, M // SHARE, RowMemory())
    schemes: dict[str, list[Estimator]] = {
        "all three layers": [sparse, sparse, sparse],
        "the two wide layers": [sparse, sparse, Exact()],
    }
    exact = training_step([Exact(), Exact(), Exact()], x, labels)
    steps = [*(training_step(estimators, x, labels) for estimators in schemes.values()), exact]
    torch = import_torch()
    seconds = interleaved(
        repeats, *steps, *([mlp_step(torch, x, labels, WIDTHS, LR)] if torch else [])
    )
    opponents = {"our exact step": seconds[2]} | (
        {f"PyTorch {torch.__version__}": seconds[3]} if torch else {}
    )
    for scheme, ours in zip(schemes, seconds, strict=False):
        for opponent in opponents.items():
            size = f"{'-'.join(map(str, WIDTHS))}, M = {M}, K/M = 1/{SHARE} in {scheme}"
            yield against("MLP training step / exact", size, ours, opponent, LIMIT)
    if torch:
        yield against(
            "exact MLP step / PyTorch", f"M = {M}", seconds[2], list(opponents.items())[1], None
        )
    else:
        yield Row("MLP training step / PyTorch", f"M = {M}", "not measured: torch is not installed")


def training_step(estimators: list[Estimator], x: Array, labels: Array) -> Work:
    """Return forward, loss, backward and update of the MLP with one weight-gradient estimator a layer."""
    dense = [Dense(n, p, e) for n, p, e in zip(WIDTHS, WIDTHS[1:], estimators, strict=False)]
    network, loss, optimiser = (
        Chain(dense[0], ReLU(), dense[1], ReLU(), dense[2]),
        CrossEntropy(),
        SGD(LR),
    )
    network.initialise(Streams(), np.float32)
    noise = np.zeros((1, M))
    step = Step(lr=optimiser.lr(0), noise={layer: noise for layer in dense}, training=True)

    def one_step() -> None:
        backprop(network, loss, x[None], labels[None], step)
        optimiser.update(network.parameters(), step)

    return one_step
