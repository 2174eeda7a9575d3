"""The weight gradient of a convolution whose unit is an example: against our exact one and PyTorch's."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import numpy as np

from aopnp import AOP, Exact, RowMemory, Streams, topk
from aopnp.arrays.backend import Array
from aopnp.estimators import Estimator, Step
from aopnp.estimators.outer_products import dense
from aopnp.estimators.policies import bernoulli
from aopnp.nn import Conv2d
from experiments.bench.eager import conv_weight_gradient, import_torch
from experiments.bench.row import Row, against
from experiments.bench.steps import SHARE
from experiments.bench.timing import interleaved

IMAGES, OUTPUTS, KERNEL, PADDING = (64, 16, 16, 32), 64, 5, 2
"""Images [M, H, W, C] to outputs [M, H, W, P], float32."""
LIMIT, LIMIT_TORCH = 0.16, 0.5

Unit: TypeAlias = Literal["patch", "example"]
UNITS: tuple[Unit, ...] = ("patch", "example")


def conv_rows(repeats: int, data_dir: str | None) -> Iterator[Row]:
    """One example in eight by topk, with and without row memory in image space, and by water-filled Bernoulli."""
    M, H, W, C = IMAGES
    K, size = M // SHARE, f"K/M = 1/{SHARE}, ({M}, {H}x{W}x{C} -> {OUTPUTS}, {KERNEL}x{KERNEL})"
    estimators = {
        "topk": AOP(topk, K),
        "topk with row memory": AOP(topk, K, RowMemory()),
        "water-filled Bernoulli": AOP(bernoulli, K),
    }
    x, g = images_and_gradients()
    ours = {
        name: weight_gradient(e, x, g, noise_that_keeps(K, e, x, g))
        for name, e in estimators.items()
    }
    exact = {f"exact, unit {unit}": weight_gradient(Exact(), x, g, None, unit) for unit in UNITS}
    theirs: dict[str, Callable[[], Any]] = {}
    if torch := import_torch():
        for layout in ("contiguous_format", "channels_last"):
            name = f"PyTorch {torch.__version__}, {layout}"
            theirs[name] = conv_weight_gradient(torch, x[0], g[0], KERNEL, PADDING, layout)
    functions = ours | exact | theirs
    seconds = dict(zip(functions, interleaved(repeats, *functions.values()), strict=True))
    better_layout = sorted(theirs, key=seconds.__getitem__)[:1]
    opponents = dict.fromkeys(exact, LIMIT) | dict.fromkeys(better_layout, LIMIT_TORCH)
    for name, (opponent, limit) in itertools.product(ours, opponents.items()):
        measured = seconds[name], (opponent, seconds[opponent])
        yield against("conv weight gradient / exact", f"{size}, {name}", *measured, limit)
    if not torch:
        yield Row("conv weight gradient / PyTorch", size, "not measured: torch is not installed")


def images_and_gradients() -> tuple[Array, Array]:
    """Return images [1, M, H, W, C] and output gradients [1, M, H, W, P], normal float32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, *IMAGES), np.float32)
    return x, rng.standard_normal((*x.shape[:-1], OUTPUTS), np.float32)


def noise_that_keeps(K: int, estimator: Estimator, x: Array, g: Array) -> Array:
    """Return the first noise [1, M] that keeps K examples: what a step costs grows with what a draw happens to keep."""
    draws = (np.random.default_rng(seed).gumbel(size=(1, x.shape[1])) for seed in range(1000))
    a, b = (array.reshape(*array.shape[:2], -1) for array in (x, g))
    chosen = ((noise, estimator.select(a, b, noise, Step())) for noise in draws)
    return next(
        noise for noise, selection in chosen if selection is None or selection.count[0] == K
    )


def weight_gradient(
    estimator: Estimator, x: Array, g: Array, noise: Array | None, unit: Unit = "example"
) -> Callable[[], Array]:
    """Return what a backward pass does for the weights [1, A B C, P], and for nothing else, after a forward pass."""
    layer = Conv2d(x.shape[-1], g.shape[-1], KERNEL, 1, PADDING, estimator, unit=unit)
    layer.initialise(Streams(), x.dtype)
    layer.forward(x)
    rows, step = (
        g.reshape(1, -1, g.shape[-1]),
        Step(noise={} if noise is None else {layer: noise}, training=True),
    )
    return lambda: dense(layer.weight_gradient(rows, step))
