"""The three products of a layer, each with its own estimator: exactness, adjoints, memory, noise,
the ledger."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import (
    AOP,
    SGD,
    Chain,
    CrossEntropy,
    Dense,
    Exact,
    NoMemory,
    QueueMemory,
    ResidualMemory,
    RowMemory,
    Streams,
    Tanh,
    fit,
    randk,
    topk,
)
from aopnp.arrays import to_device, to_host
from aopnp.estimators import Stacked, Step, Watched, side_by_side
from aopnp.estimators.outer_products import OuterProducts, dense
from aopnp.estimators.policies import POLICIES, ColumnRowSampling, bernoulli, crs
from aopnp.estimators.scores import Norms, WindowNorms
from aopnp.estimators.term_counts import EpochRatios, Ratio
from aopnp.nn import Conv2d
from aopnp.training import epoch_noise
from aopnp.verify import adjoint
from tests.devices import ON_DEVICES, need

SEAMS = ("estimator", "forward", "input_gradient")
LAYERS = {
    "dense": lambda **options: Dense(6, 4, **options),
    "conv": lambda **options: Conv2d(6, 4, 3, 2, 1, **options),
    "conv by example": lambda **options: Conv2d(6, 4, 3, 2, 1, unit="example", **options),
}
EACH = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
UNSCALED = {"topk", "weightedk", "randk", "weighted", "firstk", "energy", "energy_sampling"}


def inputs(layer, rng, R=2, M=5, integers=False):
    shape = (R, M, 5, 4, 6) if isinstance(layer, Conv2d) else (R, M, 6)
    return rng.integers(-3, 4, shape).astype(float) if integers else rng.normal(size=shape)


def prepared(make, rng, R=2, M=5, integers=False, **options):
    """Return (layer, x, g, step) of a training step with noise for all products."""
    layer = make(**options)
    layer.initialise(Streams(1, range(R)))
    if integers:
        for parameter in layer.parameters():
            parameter.value[...] = rng.integers(-3, 4, parameter.value.shape)
    x = inputs(layer, rng, R, M, integers)
    y = layer.forward(x)
    g = rng.integers(-3, 4, y.shape).astype(float) if integers else rng.normal(size=y.shape)
    noise = rng.gumbel(size=(R, layer.noise_slots(M)))
    return layer, x, g, Step(noise={layer: noise}, training=True)


def results(layer, x, g, step):
    y = layer.forward(x, step)
    dx = layer.backward(g, step)
    return y, dx, dense(layer.weight.grad), layer.bias.grad


@EACH
@pytest.mark.parametrize("seam", SEAMS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "size", [Ratio(1.0), Ratio(0.1, minimal=10**6)], ids=["ratio 1", "minimal >= n"]
)
def test_what_keeps_everything_is_exact_bit_for_bit(make, seam, policy, size):
    rng = np.random.default_rng(0)
    layer, x, g, step = prepared(make, rng, **{seam: AOP(POLICIES[policy], size)})
    exact = make()
    exact.initialise(Streams(1, range(2)))
    for got, expected in zip(results(layer, x, g, step), results(exact, x, g, step), strict=True):
        np.testing.assert_array_equal(got, expected)


@EACH
@pytest.mark.parametrize("policy", ["topk", "bernoulli", "crs", "uniform"])
def test_evaluation_is_exact_and_costs_nothing(make, policy):
    estimator = AOP(POLICIES[policy], Ratio(0.3))
    layer, x, _, _ = prepared(make, np.random.default_rng(0), forward=estimator)
    exact = make()
    exact.initialise(Streams(1, range(2)))
    np.testing.assert_array_equal(layer.forward(x), exact.forward(x))
    assert layer.spent() == {}


@EACH
@pytest.mark.parametrize("policy", POLICIES)
@given(seed=st.integers(0, 10**6), R=st.integers(1, 3))
def test_a_sampled_forward_is_differentiated_through_its_sample(make, policy, seed, R):
    """Backward is the adjoint of tangent at the same sample, whose forward is linear in X, W and
    b."""
    rng = np.random.default_rng(seed)
    layer, x, g, step = prepared(make, rng, R, forward=AOP(POLICIES[policy], Ratio(0.5)))
    for parameter in layer.parameters():
        parameter.tangent = rng.normal(size=parameter.value.shape)
    adjoint.adjoint(layer, x, g, inputs(layer, rng, R), step)


@EACH
@pytest.mark.parametrize("policy", sorted(POLICIES.keys() - UNSCALED - {"bernoulli_reference"}))
def test_each_sampled_product_is_unbiased(make, policy):
    """The mean over many draws (they are replicas) of all four results of a layer, by z values."""
    draws, rng = 4000, np.random.default_rng(0)
    for seam in SEAMS:
        layer = make(**{seam: AOP(POLICIES[policy], 3)})
        layer.initialise(Streams(1, [0] * draws))
        x = inputs(layer, rng, 1, 5)
        y = layer.forward(x)
        g = np.ascontiguousarray(np.broadcast_to(rng.normal(size=(1, *y.shape[1:])), y.shape))
        step = Step(noise={layer: rng.gumbel(size=(draws, layer.noise_slots(5)))}, training=True)
        exact = make()
        exact.initialise(Streams(1))
        expected = results(exact, x, g[:1], step)
        for got, want in zip(results(layer, x, g, step), expected, strict=True):
            off = got.mean(0) - want[0]
            z = off / (got.std(0) / np.sqrt(draws) + 1e-12)
            assert np.abs(z[np.abs(off) > 1e-9]).max(initial=0) < 5.5, seam


@EACH
def test_channel_sampling_equals_slicing_and_unselected_inputs_get_no_gradient(make):
    rng = np.random.default_rng(3)
    layer, x, g, step = prepared(make, rng, 1, integers=True, forward=AOP(POLICIES["firstk"], 2))
    y, dx, dw, _ = results(layer, x, g, step)
    narrow = (
        Dense(2, 4)
        if isinstance(layer, Dense) and not isinstance(layer, Conv2d)
        else Conv2d(2, 4, 3, 2, 1)
    )
    narrow.initialise(Streams(1))
    w = layer.weight.value.reshape(1, -1, 6, 4)
    narrow.weight.value[...] = w[:, :, :2].reshape(1, -1, 4)
    narrow.bias.value[...] = layer.bias.value
    y_narrow, dx_narrow, dw_narrow, _ = results(narrow, np.ascontiguousarray(x[..., :2]), g, Step())
    np.testing.assert_array_equal(y, y_narrow)
    np.testing.assert_array_equal(dx[..., :2], dx_narrow)
    np.testing.assert_array_equal(dw.reshape(1, -1, 6, 4)[:, :, :2], dw_narrow.reshape(1, -1, 2, 4))
    assert not dx[..., 2:].any()
    assert not dw.reshape(1, -1, 6, 4)[:, :, 2:].any()


@pytest.mark.parametrize("unit", ["patch", "example"])
@pytest.mark.parametrize("policy", ["topk", "randk", "weightedk"])
@given(seed=st.integers(0, 10**6))
def test_mem_aop_with_conv2d_conserves(unit, policy, seed):
    """Approximation plus memory equals the exact gradient of the first step, on integers;
    unselected rows wait."""
    rng = np.random.default_rng(seed)
    make = LAYERS["conv" if unit == "patch" else "conv by example"]
    layer, x, g, step = prepared(
        make, rng, integers=True, estimator=AOP(POLICIES[policy], 2, RowMemory())
    )
    _, _, estimate, _ = results(layer, x, g, step)
    exact = LAYERS["conv"]()
    exact.initialise(Streams(1, range(2)))
    _, _, whole, _ = results(exact, x, g, step)
    rest = make(estimator=AOP(topk, g.size, RowMemory()) if unit == "patch" else Exact())
    a, b = layer.weight_product.state.rows()
    if (
        unit == "example"
    ):  # the memory lies in image space: what it holds is the gradient of the remembered images
        rest.initialise(Streams(1, range(2)))
        rest.forward(a.reshape(x.shape), step)
        rest.backward(b.reshape(g.shape), step)
        owed = dense(rest.weight.grad)
    else:
        owed = a.swapaxes(-1, -2) @ b
    np.testing.assert_array_equal(estimate + owed, whole)
    assert layer.weight_product.state.cleared.sum() == 2 * 2


def test_patches_are_ranked_from_the_image_as_from_their_rows():
    rng = np.random.default_rng(0)
    estimator = AOP(topk, Ratio(0.3))
    layer, x, g, step = prepared(LAYERS["conv"], rng, estimator=estimator, integers=True)
    watched, *_ = prepared(
        LAYERS["conv"], np.random.default_rng(0), estimator=Watched(estimator), integers=True
    )
    step = Step(noise={layer: step.noise[layer], watched: step.noise[layer]}, training=True)
    assert type(layer.weight_product.estimator.score).__name__ == "PatchNorms"
    for got, expected in zip(results(layer, x, g, step), results(watched, x, g, step), strict=True):
        np.testing.assert_array_equal(got, expected)
    rows, by_row = layer.x, g.reshape(2, -1, 4)
    from_image = layer.weight_product.estimator.score(rows, by_row, step.noise[layer])
    np.testing.assert_allclose(
        from_image, Norms()(rows, by_row, step.noise[layer]), rtol=0, atol=1e-12
    )
    assert layer.spent()["overhead_flops"][0] < watched.spent()["overhead_flops"][0]


def own_noise(layer, noise, alone):
    """Return product -> noise for the layer `alone`, from the noise of the stack that it is taken
    from."""
    parts, start = {}, 0
    for name, product in layer.products().items():
        end = start + product.slots(5)
        own = alone.products()[name]
        if own.slots(5):
            parts[own] = noise[:, end - own.slots(5) : end]
        start = end
    return parts


@EACH
def test_replicas_train_as_each_alone(make):
    estimators = [
        Exact(),
        AOP(topk, 2),
        AOP(topk, 3),
        AOP(randk, 2, RowMemory(0.5)),
        AOP(bernoulli, 2),
        AOP(crs, 2),
    ]
    seams = [
        (e if e.memory.__class__.__name__ == "NoMemory" else Exact()) if e != Exact() else e
        for e in estimators
    ]
    rng, R = np.random.default_rng(0), len(estimators)
    stacks = {"forward": side_by_side(seams), "input_gradient": side_by_side(seams)}
    layer, x, g, step = prepared(make, rng, R, estimator=side_by_side(estimators), **stacks)
    together = results(layer, x, g, step)
    spent = layer.spent()
    for r in range(R):
        # A part of a stack, so that patches are ranked by their rows as in the stack, not from the
        # image.
        alone = make(
            estimator=Stacked([(slice(0, 1), estimators[r])]),
            forward=seams[r],
            input_gradient=seams[r],
        )
        alone.initialise(Streams(1, [r]))
        alone.forward(x[r : r + 1])
        own = Step(noise=own_noise(layer, step.noise[layer][r : r + 1], alone), training=True)
        for stacked, one in zip(
            together, results(alone, x[r : r + 1], g[r : r + 1], own), strict=True
        ):
            np.testing.assert_allclose(stacked[r], one[0], rtol=1e-12, atol=1e-12)
        for name, cost in alone.spent().items():
            assert spent[name][r] == pytest.approx(cost[0])


@ON_DEVICES
@EACH
def test_the_same_on_a_device(make, device):
    need(device)
    out = {}
    for where in ("cpu", device):
        rng = np.random.default_rng(0)
        sampled = AOP(bernoulli, Ratio(0.5))
        layer = make(
            estimator=AOP(topk, 2, RowMemory()), forward=AOP(crs, 3), input_gradient=sampled
        )
        layer.initialise(Streams(1, range(2)), np.float64, where)
        x = inputs(layer, rng)
        g = rng.normal(size=(*layer.forward(to_device(x, where)).shape,))
        noise = rng.gumbel(size=(2, layer.noise_slots(5)))
        step = Step(noise={layer: to_device(noise, where)}, training=True)
        got = results(layer, to_device(x, where), to_device(g, where), step)
        out[where] = [to_host(a) for a in (*got, *layer.spent().values())]
    for got, expected in zip(out[device], out["cpu"], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_a_layers_noise_is_that_of_its_products_one_after_another():
    """A step that is written by hand may give the noise of a layer, or of each product."""
    rng = np.random.default_rng(0)
    options = {
        "forward": AOP(randk, 3),
        "input_gradient": AOP(randk, 2),
        "estimator": AOP(randk, 2),
    }
    layer, x, g, step = prepared(LAYERS["dense"], rng, **options)
    noise = step.noise[layer]
    assert noise.shape == (2, 6 + 4 + 5)
    forward, back, weight = noise[:, :6], noise[:, 6:10], noise[:, 10:]
    of_layer = results(layer, x, g, step)
    products = {
        layer.forward_product: forward,
        layer.input_product: back,
        layer.weight_product: weight,
    }
    of_products = results(layer, x, g, Step(noise=products, training=True))
    for got, expected in zip(of_products, of_layer, strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(
        ValueError, match=r"expected selection noise of shape \[R or 1, 6\], got None"
    ):
        results(layer, x, g, Step(noise={layer.weight_product: weight}, training=True))


def test_the_noise_of_a_product_does_not_depend_on_the_other_products():
    """Not in `fit` either: whatever else a layer samples, its weight gradient selects the same
    rows."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(20, 6)), rng.integers(0, 4, 20)

    def noise(**options):
        layer = Dense(6, 4, **options)
        layer.initialise(Streams(1))
        layer.forward(data[0][None])
        drawn = epoch_noise(layer, Streams(1), 2, 4, 5)
        return {name: drawn[p] for name, p in layer.products().items() if p in drawn}

    sampled = {
        "forward": AOP(randk, 3),
        "input_gradient": AOP(randk, 2),
        "estimator": AOP(randk, 2),
    }
    together = noise(**sampled)
    assert together.keys() == {"forward", "input", "weight"}
    for option, name in (
        ("forward", "forward"),
        ("input_gradient", "input"),
        ("estimator", "weight"),
    ):
        (alone,) = noise(**{option: sampled[option]}).values()
        np.testing.assert_array_equal(alone, together[name])
    queue = noise(**sampled | {"estimator": AOP(randk, 2, QueueMemory(3))})
    np.testing.assert_array_equal(queue["input"], together["input"])
    np.testing.assert_array_equal(queue["weight"][..., 3:], together["weight"])


def test_the_ledger_by_hand():
    """Dense 6 -> 4, M = 5, float64: forward keeps 3 of 6, the input gradient 2 of 4, the weight
    gradient 2 of 5.

    A memory of the weight gradient has an entry for each of the 6 inputs, also beside a forward
    product that keeps 3 of them.
    """
    M, N, P = 5, 6, 4
    for memory, wide in ((NoMemory(), 3), (RowMemory(), N)):
        layer, x, g, step = prepared(
            LAYERS["dense"],
            np.random.default_rng(0),
            estimator=AOP(topk, 2, memory),
            forward=AOP(topk, 3),
            input_gradient=AOP(crs, 2),
        )
        results(layer, x, g, step)
        products = 2 * M * 3 * P + 2 * M * 3 * 2 + 2 * 2 * wide * P
        scores = 2 * N * (M + P) + 2 * P * (3 + M) + 2 * M * (wide + P)
        scaling, remembering = 2 * min(3, M), 2 * M * (N + P) if wide == N else 0
        gathered = 2 * (3 + M) + 3 * (M + P) + 2 * (wide + P)
        moved = 3 * M * (N + P) if wide == N else 0
        assert layer.spent() == {
            "flops": pytest.approx([products + scores + scaling + remembering] * 2),
            "exact_flops": pytest.approx([3 * 2 * M * N * P] * 2),
            "overhead_flops": pytest.approx([scores + scaling + remembering] * 2),
            "bytes_moved": pytest.approx([16 * gathered + 8 * moved] * 2),
        }
        assert layer.spent() == {}


def test_the_ledger_of_a_convolution_counts_the_products_behind_an_example():
    layer, x, g, step = prepared(
        LAYERS["conv by example"], np.random.default_rng(0), estimator=AOP(topk, 2)
    )
    results(layer, x, g, step)
    M, positions, N, P, image, out = 5, 3 * 2, 54, 4, 5 * 4 * 6, 3 * 2 * 4
    exact = 2 * M * positions * N * P
    spent = layer.spent()
    assert spent["exact_flops"][0] == 3 * exact
    assert spent["flops"][0] == 2 * exact + 2 * exact / 5 + 2 * M * (image + out)


def test_k_follows_its_schedule_over_the_epochs():
    layer, x, g, step = prepared(
        LAYERS["dense"], np.random.default_rng(0), estimator=AOP(topk, EpochRatios((1, 0.4)))
    )
    for epoch, count in ((1, 5), (2, 2), (3, 2)):
        layer.forward(x, step)
        layer.backward(g, Step(noise=step.noise, training=True, epoch=epoch))
        np.testing.assert_array_equal(layer.weight.grad.count, [count] * 2)


@EACH
@pytest.mark.parametrize("policy", ["topk", "bernoulli", "crs"])
def test_a_replica_that_keeps_all_is_exact_beside_one_that_does_not(make, policy):
    rng = np.random.default_rng(0)
    n = {"dense": 5, "conv": 5 * 3 * 2, "conv by example": 5}[
        next(name for name, m in LAYERS.items() if m is make)
    ]
    layer, x, g, step = prepared(make, rng, estimator=AOP(POLICIES[policy], np.array([n, 2])))
    exact = make()
    exact.initialise(Streams(1, range(2)))
    mixed, whole = results(layer, x, g, step)[2], results(exact, x, g, step)[2]
    np.testing.assert_array_equal(mixed[0], whole[0])
    assert (mixed[1] != whole[1]).any()


def test_what_keeps_all_asks_no_policy():
    layer, x, g, step = prepared(
        LAYERS["dense"], np.random.default_rng(0), estimator=AOP(None, 5, RowMemory())
    )
    results(layer, x, g, step)


def test_another_score_leaves_empty_slots_of_a_queue_empty():
    estimator = AOP(topk, 2, QueueMemory(4), WindowNorms(2))
    layer, x, g, step = prepared(
        LAYERS["dense"], np.random.default_rng(0), integers=True, estimator=estimator
    )
    x[:, 1:], g[:, 1:] = 0, 0  # as large as what an empty slot seems to hold, and behind it
    x[:, 0], g[:, 0] = 1, 1
    results(layer, x, g, step)
    # Two of the five fresh rows were taken.
    np.testing.assert_array_equal(layer.weight_product.state.count, [3, 3])


def test_training_tells_the_schedule_its_epoch():
    rng, streams = np.random.default_rng(0), Streams()
    network = Dense(6, 3, AOP(topk, EpochRatios((1.0, 0.5))))
    network.initialise(streams)
    data = rng.normal(size=(32, 6)), rng.integers(0, 3, 32)
    history = fit(network, CrossEntropy(), SGD(0.1), data, streams=streams, batch_size=8, epochs=3)
    # Flops of 4 exact weight gradients; the forward products cost as much again.
    weights = 2 * 4 * 8 * 6 * 3
    scores = 2 * 4 * 8 * (6 + 3)
    expected = [[2 * weights], [1.5 * weights + scores], [1.5 * weights + scores]]
    np.testing.assert_array_equal(history["flops"], expected)


def test_keeping_nothing_remembers_everything():
    layer, x, g, step = prepared(
        LAYERS["dense"],
        np.random.default_rng(0),
        integers=True,
        estimator=AOP(topk, 0, RowMemory()),
    )
    _, _, estimate, _ = results(layer, x, g, step)
    assert not estimate.any()
    a, b = layer.weight_product.state.rows()
    np.testing.assert_array_equal(a, x)
    np.testing.assert_array_equal(b, g)
    with pytest.raises(ValueError, match="k = 0"):
        results(*prepared(LAYERS["dense"], np.random.default_rng(0), estimator=AOP(crs, 0)))


def test_wrong_use_gets_a_sentence():
    memory = AOP(topk, 2, RowMemory())
    for seam in ("forward", "input_gradient"):
        for estimator in (memory, Watched(memory), side_by_side([Exact(), memory])):
            with pytest.raises(
                ValueError, match="expected estimators without memory for the forward product"
            ):
                Dense(2, 3, **{seam: estimator})
    for bad in (ResidualMemory(), QueueMemory(4)):
        with pytest.raises(ValueError, match=r"expected no memory beside .*; use NoMemory"):
            AOP(ColumnRowSampling(), 2, bad)
    residual = AOP(topk, 2, ResidualMemory())
    for estimator in (Watched(residual), side_by_side([Exact(), residual])):
        with pytest.raises(ValueError, match="a factored gradient where an example is the unit"):
            Conv2d(2, 3, 3, unit="example", estimator=estimator)
    with pytest.raises(ValueError, match="patch or example, got 'row'"):
        Conv2d(2, 3, 3, unit="row")
    layer = Conv2d(2, 3, 3, estimator=AOP(topk, 2))
    layer.initialise(Streams())
    with pytest.raises(ValueError, match="expected a forward pass before noise is drawn"):
        layer.noise_slots(4)
    with pytest.raises(
        ValueError, match=r"expected images \[R or 1, M, H, W, C\] with R = 1 and C = 2, got shape"
    ):
        layer.forward(np.ones((1, 4, 5, 5, 3)))
    with pytest.raises(
        TypeError, match="expected images of the weights' dtype float64, got float32"
    ):
        layer.forward(np.ones((1, 4, 5, 5, 2), np.float32))


MEMORIES = {"residual": ResidualMemory(), "queue": QueueMemory(200)}


def exact_gradient(make, layer, x, g, step, **forward):
    """Return the weight gradient of the same layer with the same sample, nothing left out."""
    twin = make(**forward)
    twin.initialise(Streams(1, range(len(g))))
    twin.weight.value[...] = layer.weight.value
    noise = step.noise.get(layer.forward_product)
    drawn = {} if noise is None else {twin.forward_product: noise}
    own = Step(noise=drawn, training=True, epoch=step.epoch)
    twin.forward(x, own)
    twin.backward(g, own)
    return dense(twin.weight.grad)


@pytest.mark.parametrize("memory", ["residual", "queue"])
@pytest.mark.parametrize("kind", ["dense", "conv", "conv by example"])
@given(
    policy=st.sampled_from(["topk", "randk", "weightedk", "firstk", "weighted"]),
    size=st.sampled_from([1, 3, 5, EpochRatios((0.5, 1.0, 0.2))]),
    seed=st.integers(0, 10**6),
)
def test_a_memory_beside_a_sampled_forward_product_loses_no_inputs_gradient(
    memory, kind, policy, size, seed
):
    """Sum of updates + owed = sum of exact gradients, whichever inputs each step keeps (law 4)."""
    if (memory, kind) == ("residual", "conv by example"):
        return  # refused: a residual is a matrix
    rng, make = np.random.default_rng(seed), LAYERS[kind]
    forward = AOP(POLICIES[policy], size)
    layer = make(estimator=AOP(topk, 2, MEMORIES[memory]), forward=forward)
    layer.initialise(Streams(1, range(2)))
    layer.weight.value[...] = rng.integers(-3, 4, layer.weight.shape)
    applied = exact = 0
    for epoch in (1, 2, 3):
        x = inputs(layer, rng, integers=True)
        shape = layer.forward(x).shape
        g = rng.integers(-3, 4, shape).astype(float)
        noise = {p: rng.gumbel(size=(2, p.slots(5))) for p in layer.products().values()}
        step = Step(noise=noise, training=True, epoch=epoch)
        layer.forward(x, step)
        layer.backward(g, step)
        applied = applied + dense(layer.weight.grad)
        exact = exact + exact_gradient(make, layer, x, g, step, forward=forward)
    state = layer.weight_product.state
    if memory == "residual":
        owed = state.residual
    else:
        pairs = OuterProducts(state.x, state.g, state.count)
        expand = layer.weight_product.expand
        owed = dense(pairs if expand is None else expand(pairs))
    np.testing.assert_array_equal(applied + owed, exact)


@given(policy=st.sampled_from(["topk", "randk", "firstk"]), seed=st.integers(0, 10**6))
def test_the_row_memory_beside_a_sampled_forward_product_conserves(policy, seed):
    """Estimate + memory = the augmented product of all inputs in their places, at every step (law
    1)."""
    rng = np.random.default_rng(seed)
    forward = AOP(POLICIES[policy], 3)
    layer = Dense(6, 4, AOP(topk, 2, RowMemory()), forward=forward)
    layer.initialise(Streams(1, range(2)))
    layer.weight.value[...] = rng.integers(-3, 4, layer.weight.shape)
    a = b = 0
    for _ in range(3):
        x = inputs(layer, rng, integers=True)
        g = rng.integers(-3, 4, (2, 5, 4)).astype(float)
        noise = {layer.forward_product: rng.gumbel(size=(2, 6))}
        step = Step(noise=noise | {layer.weight_product: np.zeros((2, 5))}, training=True)
        layer.forward(x, step)
        layer.backward(g, step)
        seen = np.where(layer.sample.selection.mask(6)[:, None], x, 0)
        augmented = (a + seen).swapaxes(-1, -2) @ (b + g)
        a, b = layer.weight_product.state.rows()
        assert a.shape == x.shape
        owed = a.swapaxes(-1, -2) @ b
        np.testing.assert_array_equal(dense(layer.weight.grad) + owed, augmented)


def test_a_watcher_beside_a_sampled_forward_product_adds_up_each_weight_in_its_place():
    rng = np.random.default_rng(0)
    layer = Dense(6, 4, Watched(AOP(topk, 2)), forward=AOP(randk, 3))
    layer.initialise(Streams(1, range(2)))
    applied = exact = 0
    for _ in range(4):
        x, g = inputs(layer, rng, integers=True), rng.integers(-3, 4, (2, 5, 4)).astype(float)
        noise = {layer.forward_product: rng.gumbel(size=(2, 6))}
        step = Step(noise=noise | {layer.weight_product: np.zeros((2, 5))}, training=True)
        layer.forward(x, step)
        layer.backward(g, step)
        applied = applied + dense(layer.weight.grad)
        exact = exact + exact_gradient(LAYERS["dense"], layer, x, g, step, forward=AOP(randk, 3))
    error = np.linalg.norm(applied - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2))
    state = layer.weight_product.state
    np.testing.assert_array_equal(state.exact_sum, exact)
    np.testing.assert_array_equal(state.estimate_sum, applied)
    # The mean over the steps ends with the error of the sums: the last one is known by itself.
    seen = layer.observations()["running_error"] * 4
    assert (seen > error).all()


@EACH
@pytest.mark.parametrize(("R", "J"), [(1, 1), (2, 1), (1, 3), (2, 3), (3, 2)])
@pytest.mark.parametrize("policy", ["topk", "crs", "bernoulli"])
def test_tangents_of_several_directions_go_through_the_sample_of_their_replica(make, policy, R, J):
    """<backward(g), u> + <dW, V> = <g, tangent(u)> for every direction and replica."""
    rng = np.random.default_rng(0)
    forward = AOP(POLICIES[policy], 3)
    layer, x, g, step = prepared(make, rng, R, forward=forward)
    layer.forward(x, step)
    dx = layer.backward(g, step)
    u, v = rng.normal(size=(J, *x.shape)), rng.normal(size=(J, *layer.weight.shape))
    layer.weight.tangent = v
    moved = layer.tangent(u)
    assert moved.shape == (J, *g.shape)
    axes = tuple(range(2, u.ndim))
    left = (dx * u).sum(axes) + (dense(layer.weight.grad) * v).sum((-2, -1))
    np.testing.assert_allclose((g * moved).sum(tuple(range(2, moved.ndim))), left, rtol=1e-11)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (AOP(topk, 4), AOP(POLICIES["uniform"], 4)),
        (AOP(topk, 4, RowMemory()), Exact()),
        (AOP(topk, 4, QueueMemory(5)), AOP(topk, 4, RowMemory())),
    ],
    ids=["two policies", "row memory beside exact", "queue beside row memory"],
)
@pytest.mark.parametrize("product", ["input_gradient", "forward"])
def test_a_replica_samples_its_other_products_as_it_does_alone(first, second, product):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(60, 12)), rng.integers(0, 3, 60)

    def losses(estimator, replicas):
        sampled = {product: AOP(POLICIES["uniform"], 2)}
        network = Chain(Dense(12, 8), Tanh(), Dense(8, 3, estimator, **sampled))
        streams = Streams(0, [0] * replicas)
        network.initialise(streams)
        options = {"streams": streams, "batch_size": 10, "epochs": 2}
        return fit(network, CrossEntropy(), SGD(0.1), data, **options)["train_loss"][:, -1]

    np.testing.assert_array_equal(losses(side_by_side([first, second]), 2), losses(second, 1))
