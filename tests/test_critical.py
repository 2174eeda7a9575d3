"""Optimisers around others: critical gradients against the definition with lists, error feedback
against plain SGD."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import SGD, Chain, CrossEntropy, Dense, Streams, Tanh, fit
from aopnp.arrays import to_device, to_host
from aopnp.estimators import OuterProducts, Step
from aopnp.nn import Parameter
from aopnp.optim import AGGREGATIONS, Adam, Critical, ErrorFeedback, ParameterGroups, StepDecay
from aopnp.optim.error_feedback import largest
from aopnp.training.checkpoint import load, save
from tests.devices import ON_DEVICES, need

EVERY_AGGREGATION = pytest.mark.parametrize("aggregation", AGGREGATIONS)


def update(optimiser, parameters, steps):
    """Update `parameters` once for each of `steps`, gradients of all of them."""
    for t, gradients in enumerate(steps):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.update(parameters, Step(t, optimiser.lr(t), group_lr=optimiser.group_lr(t)))
    return parameters


def run(optimiser, values, steps):
    """Return parameters that begin at `values` after all updates."""
    return update(optimiser, [Parameter(value.copy()) for value in values], steps)


def handed(optimiser, steps):
    """Return what the inner optimiser is handed, as lists like `steps`, and the parameters."""
    parameters = [Parameter(np.zeros_like(g)) for g in steps[0]]
    return [
        optimiser.transform(parameters, gradients, Step(t)) for t, gradients in enumerate(steps)
    ], parameters


def by_hand(gradients, priorities, capacity, decay, kappa, aggregation):
    """Return what is handed on, and the buffer as pairs [priority, gradient], of one tensor of one
    network."""
    buffer, out = [], []
    for g, r in zip(gradients, priorities, strict=True):
        past = [kept for _, kept in buffer]
        ranked = [kept for _, kept in sorted(buffer, key=lambda pair: pair[0])]  # stable
        if not buffer:
            out.append(g)
        elif aggregation == "sum":
            out.append(g + kappa * (sum(past) / len(past)))
        elif aggregation == "mid":
            out.append(0.5 * (g + kappa * (sum(past) / len(past))))
        elif aggregation == "mean":
            out.append((g + kappa * sum(past)) / (len(buffer) + 1))
        else:
            out.append(
                g + kappa * ranked[{"min": 0, "median": len(ranked) // 2, "max": -1}[aggregation]]
            )
        # The first of several.
        smallest = min(range(len(buffer)), key=lambda slot: buffer[slot][0], default=None)
        if len(buffer) < capacity:
            buffer.append([r, g])
        elif r > buffer[smallest][0]:
            buffer[smallest] = [r, g]
        for pair in buffer:
            pair[0] *= decay
    return out, buffer


INTEGERS = st.integers(-2, 2)


@EVERY_AGGREGATION
@pytest.mark.parametrize("synced", [False, True])
@given(
    gradients=st.lists(st.tuples(*[INTEGERS] * 10), min_size=1, max_size=9),
    capacity=st.integers(1, 4),
    decay=st.sampled_from([0.0, 0.5, 1.0]),
    kappa=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
)
def test_the_buffer_is_its_definition_in_every_replica(
    aggregation, synced, gradients, capacity, decay, kappa
):
    """Small integers, so that ties are frequent and every sum is exact: a matrix [2, 2, 2] and a
    bias [2, 1]."""
    steps = [
        (np.array(g[:8], float).reshape(2, 2, 2), np.array(g[8:], float).reshape(2, 1))
        for g in gradients
    ]
    optimiser = Critical(SGD(1.0), capacity, decay, kappa, aggregation, synced=synced)
    got, parameters = handed(optimiser, steps)
    for r in range(2):
        norms = np.array([[np.sqrt((g[r] ** 2).sum()) for g in step] for step in steps])
        priorities = np.repeat(norms[:, :1] + norms[:, 1:], 2, 1) if synced else norms
        for tensor, parameter in enumerate(parameters):
            own = [step[tensor][r] for step in steps]
            out, buffer = by_hand(own, priorities[:, tensor], capacity, decay, kappa, aggregation)
            np.testing.assert_array_equal([step[tensor][r] for step in got], out)
            state = optimiser.state[parameter]
            n = len(buffer)
            assert state.count == n
            np.testing.assert_array_equal(state.priorities[r, :n], [pair[0] for pair in buffer])
            np.testing.assert_array_equal(state.gradients[r, :n], [pair[1] for pair in buffer])
            assert not state.gradients[r, n:].any()
            assert not state.priorities[r, n:].any()


def test_a_buffer_of_two_step_by_step():
    optimiser = Critical(SGD(1.0), capacity=2, decay=0.5)
    parameter = Parameter(np.zeros((1, 1)))
    story = [
        # g, handed on, remembered, priorities after the decay
        (8, 8, [8, 0], [4, 0]),  # the first seeds the buffer
        (2, 10, [8, 2], [2, 1]),  # 2 + 8: the buffer before 2 comes in; 8 itself does not decay
        (1, 6, [8, 2], [1, 0.5]),  # as large as the smallest priority: stays out
        (-1, 4, [8, -1], [0.5, 0.5]),  # now larger: 2 goes
        (
            3,
            6.5,
            [3, -1],
            [1.5, 0.25],
        ),  # of equal priorities the earlier slot goes, though 8 is the larger gradient
    ]
    for g, expected, remembered, priorities in story:
        (got,) = optimiser.transform([parameter], [np.array([[g]], float)], Step())
        state = optimiser.state[parameter]
        assert got == expected
        assert state.gradients[0, :, 0].tolist() == remembered
        assert state.priorities[0].tolist() == priorities


INNER = {
    "sgd": lambda: SGD(np.array([0.3, 0.07])),
    "momentum": lambda: SGD(np.array([0.3, 0.07]), 0.9, weight_decay=0.01),
    "nesterov": lambda: SGD(0.1, 0.9, nesterov=True, schedule=StepDecay(2, 0.5)),
    "adam": lambda: Adam(np.array([0.3, 0.07]), weight_decay=0.01),
}
EVERY_INNER = pytest.mark.parametrize("inner", INNER.values(), ids=INNER)


def problem(seed, dtype=np.float64, steps=9, replicas=2):
    rng = np.random.default_rng(seed)
    shapes = [(replicas, 4, 3), (replicas, 3)]
    values = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    sizes = 10.0 ** rng.uniform(-2, 2, (steps, len(shapes), replicas))
    return values, [
        [
            rng.normal(size=shape).astype(dtype)
            * size.astype(dtype).reshape(-1, *(1,) * (len(shape) - 1))
            for shape, size in zip(shapes, step, strict=True)
        ]
        for step in sizes
    ]


@EVERY_INNER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("aggregation", ["sum", "min", "median", "max"])
def test_kappa_0_is_the_inner_optimiser_bit_for_bit_momentum_and_adam_included(
    inner, dtype, aggregation
):
    values, steps = problem(0, dtype)
    plain = run(inner(), values, steps)
    without = run(Critical(inner(), capacity=3, kappa=0.0, aggregation=aggregation), values, steps)
    half = run(Critical(inner(), capacity=3, kappa=0.5, aggregation=aggregation), values, steps)
    for one, same, other in zip(plain, without, half, strict=True):
        assert same.value.dtype == other.value.dtype == dtype
        np.testing.assert_array_equal(same.value, one.value)
        assert (other.value != one.value).all()


@pytest.mark.parametrize(
    "build", [lambda inner: Critical(inner, 3), lambda inner: ErrorFeedback(inner, 0.5)]
)
def test_schedules_and_an_optimiser_of_its_own_for_feedback_are_the_inner_ones(build):
    def start():
        return ParameterGroups(SGD(0.5, schedule=StepDecay(2, 0.5)), SGD(0.25, 0.9))

    class Seven(SGD):
        def lr(self, step):
            return np.array([7.0])

    assert build(Seven()).lr(0) == 7
    assert build(Seven()).group_lr(0) == {}
    around = build(start())
    for t in range(4):
        np.testing.assert_array_equal(around.lr(t), start().lr(t))
        np.testing.assert_array_equal(around.group_lr(t)["feedback"], [0.25])


@pytest.mark.parametrize(
    "build",
    [lambda inner: Critical(inner, 3), lambda inner: ErrorFeedback(inner, 0.5)],
    ids=["critical", "error feedback"],
)
def test_inside_a_parameter_group_it_moves_that_group_as_it_would_alone(build):
    values, steps = problem(0)
    groups = ParameterGroups(build(SGD(0.1)), SGD(0.1))
    for got, expected in zip(
        run(groups, values, steps), run(build(SGD(0.1)), values, steps), strict=True
    ):
        np.testing.assert_array_equal(got.value, expected.value)


@EVERY_AGGREGATION
def test_apart_inside_moves_weights_and_feedback_as_two_networks(aggregation):
    """Not synced, a tensor neither sees the others nor who moves them."""
    values, steps = problem(1)
    parameters = [
        Parameter(value.copy(), group=("network", "feedback")[i > 0])
        for i, value in enumerate(values)
    ]
    together = Critical(ParameterGroups(SGD(0.5), Adam(0.25)), 3, aggregation=aggregation)
    update(together, parameters, steps)
    for i, inner in enumerate((SGD(0.5), Adam(0.25))):
        alone = run(
            Critical(inner, 3, aggregation=aggregation), [values[i]], [[step[i]] for step in steps]
        )
        np.testing.assert_array_equal(parameters[i].value, alone[0].value)


@pytest.mark.parametrize("synced", [False, True])
@EVERY_AGGREGATION
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_replicas_that_evict_different_slots_are_each_alone_bit_for_bit(synced, aggregation, dtype):
    replicas, decay, kappa = 3, np.array([0.7, 0.9, 0.2]), np.array([1.0, 0.5, 2.0])
    values, steps = problem(2, dtype, steps=12, replicas=replicas)
    for step in steps:  # as a dense layer stores its gradients
        step[0] = np.ascontiguousarray(step[0].swapaxes(-1, -2)).swapaxes(-1, -2)
    options = {"aggregation": aggregation, "synced": synced}
    stack = Critical(SGD(0.1, 0.5), 3, decay, kappa, **options)
    together = run(stack, values, steps)
    for r in range(replicas):
        own = slice(r, r + 1)
        single = Critical(SGD(0.1, 0.5), 3, decay[own], float(kappa[r]), **options)
        alone = run(single, [v[own] for v in values], [[g[own] for g in step] for step in steps])
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one.value[r], other.value[0])
            np.testing.assert_array_equal(
                stack.state[one].priorities[r], single.state[other].priorities[0]
            )
    kept = [
        [
            [t for t, step in enumerate(steps) if (step[0][r] == g).all()]
            for g in stack.state[together[0]].gradients[r]
        ]
        for r in range(replicas)
    ]
    assert kept[0] != kept[1] != kept[2] != kept[0]


def test_synced_tensors_keep_the_gradients_of_the_same_steps():
    """Norms 3 4 1 and 1 2 6 of two tensors, one slot: apart the first keeps 4, together both keep
    step 2 (1 + 6)."""
    steps = [
        [np.full((1, 1), float(a)), np.full((1, 1), float(b))]
        for a, b in [(3, 1), (-4, 2), (1, -6)]
    ]
    for synced, remembered, priorities in [(False, [-4, -6], [4, 6]), (True, [1, -6], [7, 7])]:
        optimiser = Critical(SGD(1.0), capacity=1, decay=1.0, synced=synced)
        handed(optimiser, steps)
        assert [state.gradients.item() for state in optimiser.state.values()] == remembered
        assert [state.priorities.item() for state in optimiser.state.values()] == priorities


def test_priorities_of_float32_gradients_do_not_overflow():
    huge = np.full((1, 4), 1e30, np.float32)
    optimiser = Critical(SGD(1.0), 2, decay=1.0)
    handed(optimiser, [[huge], [huge * 2]])
    (state,) = optimiser.state.values()
    np.testing.assert_allclose(state.priorities, [[2e30, 4e30]], rtol=1e-6)


def test_a_forward_gradients_buffer_holds_the_directions_of_the_largest_directional_derivatives():
    """g = d v with |v| the same at all steps (Rademacher): |g| = |d| |v|, in each tensor and in
    their sum."""
    rng, sizes, C = np.random.default_rng(3), [(1, 4, 4), (1, 9)], 5
    d = rng.permutation(np.arange(1, 41)) * rng.choice([-1.0, 1.0], 40)
    directions = [[rng.choice([-1.0, 1.0], size) for size in sizes] for _ in d]
    best = set(np.argsort(-abs(d))[:C])
    for synced, norms in [(False, [4, 3]), (True, [7, 7])]:
        optimiser = Critical(SGD(1.0), C, decay=1.0, synced=synced)
        handed(
            optimiser, [[each * v for v in step] for each, step in zip(d, directions, strict=True)]
        )
        for tensor, state in enumerate(optimiser.state.values()):
            kept = [int(np.flatnonzero(abs(d) == abs(g).max())[0]) for g in state.gradients[0]]
            assert set(kept) == best
            np.testing.assert_array_equal(state.priorities[0], norms[tensor] * abs(d[kept]))
            for step, g in zip(kept, state.gradients[0], strict=True):
                np.testing.assert_array_equal(g, d[step] * directions[step][tensor][0])


CURVATURE = np.array([[1.0, 0.5, 0.2, 0.1]])


def descend(optimiser, steps=800):
    """Return |w| after `steps` steps down 1/2 sum of a w^2 from w = 1."""
    parameter = Parameter(np.ones((1, 4)))
    for t in range(steps):
        parameter.grad = CURVATURE * parameter.value
        optimiser.update([parameter], Step(t, optimiser.lr(t)))
    return float(np.sqrt((parameter.value**2).sum()))


@EVERY_AGGREGATION
def test_a_convex_quadratic_converges_because_the_buffer_forgets(aggregation):
    """Plain SGD comes to (1 - 0.25 * 0.1)^800 = 1.6e-9.

    What never forgets comes to rest where g = -kappa mean(B).
    """
    assert descend(Critical(SGD(0.25), aggregation=aggregation)) < 1e-6
    assert descend(Critical(SGD(0.25), decay=1.0, aggregation=aggregation)) > 0.5


def test_a_factored_gradient_is_multiplied_out_for_the_inner_one_and_stays_as_it_was():
    rng = np.random.default_rng(4)
    for build in (lambda: Critical(SGD(0.5), 2), lambda: ErrorFeedback(SGD(0.5), 0.5)):
        one, other = build(), build()
        factored, plain = Parameter(np.zeros((2, 3, 4))), Parameter(np.zeros((2, 3, 4)))
        for t in range(4):
            a, b = (
                rng.integers(-3, 4, (2, 5, 3)).astype(float),
                rng.integers(-3, 4, (2, 5, 4)).astype(float),
            )
            gradient = factored.grad = OuterProducts(a, b, np.array([5, 5]))
            plain.grad = gradient.dense()
            for optimiser, parameter in ((one, factored), (other, plain)):
                optimiser.update([parameter], Step(t, optimiser.lr(t)))
            assert factored.grad is gradient
            np.testing.assert_array_equal(factored.value, plain.value)


def test_a_nan_stays_visible_in_its_replica_and_out_of_the_others():
    values, steps = problem(5, steps=8)
    for capacity, when in [
        (2, 5),
        (4, 1),
    ]:  # into a full buffer, and into one that still takes everything
        clean = run(Critical(SGD(0.1), capacity, synced=True), values, steps)
        spoilt = [[g.copy() for g in step] for step in steps]
        spoilt[when][0][1, 0, 0] = np.nan
        for one, other in zip(
            run(Critical(SGD(0.1), capacity, synced=True), values, spoilt), clean, strict=True
        ):
            np.testing.assert_array_equal(one.value[0], other.value[0])
            assert np.isnan(one.value[1]).sum() == (one.value.ndim == 3)


@ON_DEVICES
@EVERY_AGGREGATION
@pytest.mark.parametrize("synced", [False, True])
def test_on_a_device_replicas_evict_as_on_the_host_and_nobody_waits(device, aggregation, synced):
    need(device)
    from aopnp.arrays.cuda_sim.device import no_waiting

    values, steps = problem(6, np.float32)

    def build():
        inner = ErrorFeedback(SGD(0.1), 0.5)
        return Critical(inner, 3, np.array([0.7, 0.2]), aggregation=aggregation, synced=synced)

    parameters = [Parameter(to_device(value, device)) for value in values]
    on_device = [[to_device(g, device) for g in step] for step in steps]
    with no_waiting():
        update(build(), parameters, on_device)
    tolerance = 0 if device == "cuda-sim" else 1e-6
    for got, expected in zip(parameters, run(build(), values, steps), strict=True):
        np.testing.assert_allclose(
            to_host(got.value), expected.value, rtol=tolerance, atol=tolerance
        )


RESUMED = {
    "SGD_C": lambda: Critical(SGD(0.1), 3),
    "momentum_C": lambda: Critical(SGD(0.1, 0.9), 7, 0.9, synced=True),
    "Adam_C": lambda: Critical(Adam(0.01), 3, aggregation="mean"),
    "error feedback": lambda: ErrorFeedback(SGD(0.1, 0.9, schedule=StepDecay(4, 0.3)), 0.2),
}


@pytest.mark.parametrize("make", RESUMED.values(), ids=RESUMED)
def test_training_goes_on_from_a_file_bit_for_bit(make, tmp_path):
    rng, streams = np.random.default_rng(7), Streams(0, [0, 1])
    data = rng.normal(size=(24, 6)), rng.integers(0, 4, 24)

    def start():
        network = Chain(Dense(6, 5), Tanh(), Dense(5, 4))
        network.initialise(streams)
        return network, make()

    def train(network, optimiser, first, last):
        options = {"streams": streams, "batch_size": 6, "first_epoch": first, "epochs": last}
        fit(network, CrossEntropy(), optimiser, data, **options)

    whole, halves, resumed = start(), start(), start()
    train(*whole, 1, 3)
    train(*halves, 1, 1)
    save(tmp_path / "network.npz", *halves, streams=streams, epoch=1)
    assert load(tmp_path / "network.npz", *resumed, streams=streams) == 1
    train(*resumed, 2, 3)
    for one, other in zip(whole[0].parameters(), resumed[0].parameters(), strict=True):
        np.testing.assert_array_equal(one.value, other.value)


def test_a_file_of_another_capacity_or_inner_optimiser_is_refused(tmp_path):
    streams, network = Streams(0, [0]), Dense(2, 2)
    network.initialise(streams)
    save(tmp_path / "network.npz", network, Critical(SGD(0.1), 3), streams=streams, epoch=0)
    for other in (Critical(SGD(0.1), 4), Critical(SGD(0.1, 0.9), 3), SGD(0.1)):
        with pytest.raises(
            ValueError, match=r"got Critical around SGD, 3 gradients remembered; build"
        ):
            load(tmp_path / "network.npz", network, other, streams=streams)


@given(
    gradients=st.lists(st.tuples(*[st.integers(-9, 9)] * 8), min_size=1, max_size=8),
    share=st.sampled_from([0.01, 0.25, 0.5, 0.8]),
    every=st.integers(1, 3),
)
def test_what_was_applied_and_what_waits_add_up_to_plain_sgd_exactly(gradients, share, every):
    """Integers and step sizes that are powers of 2, halved on the way: w - lr e is where SGD has
    come to."""
    lr, steps = np.array([1.0, 0.25]), [[np.array(g, float).reshape(2, 2, 2)] for g in gradients]
    plain_sgd = SGD(lr, schedule=StepDecay(every, 0.5))
    optimiser, start = ErrorFeedback(plain_sgd, share), [np.full((2, 2, 2), 5.0)]
    (got,), (plain,) = run(optimiser, start, steps), run(plain_sgd, start, steps)
    last = optimiser.lr(len(steps) - 1)[:, None, None]
    np.testing.assert_array_equal(got.value - last * optimiser.state[got].residual, plain.value)


@given(
    rows=st.lists(st.tuples(*[st.integers(-3, 3)] * 6), min_size=1, max_size=3), k=st.integers(1, 6)
)
def test_the_largest_entries_and_those_that_tie_with_the_last(rows, k):
    u = np.array(rows, float).reshape(-1, 2, 3)
    got = largest(u, k / 6)
    for own, kept in zip(u.reshape(-1, 6), got.reshape(-1, 6), strict=True):
        threshold = sorted(abs(own))[-k]
        np.testing.assert_array_equal(kept, [x if abs(x) >= threshold else 0 for x in own])
    np.testing.assert_array_equal(largest(u, 1e-9), largest(u, 1 / 6))


@EVERY_INNER
def test_a_share_of_1_is_the_inner_optimiser_bit_for_bit(inner):
    values, steps = problem(8)
    for one, other in zip(
        run(ErrorFeedback(inner(), 1), values, steps), run(inner(), values, steps), strict=True
    ):
        np.testing.assert_array_equal(one.value, other.value)


def test_feedback_waits_in_units_of_its_own_step_size():
    parameter = Parameter(np.zeros((1, 2)), group="feedback")
    optimiser = ErrorFeedback(ParameterGroups(SGD(1.0), SGD(0.5, schedule=StepDecay(1, 0.5))), 0.5)
    for t, g in enumerate([[4.0, 1.0], [0.0, 0.0]]):
        parameter.grad = np.array([g])
        optimiser.update([parameter], Step(t, optimiser.lr(t), group_lr=optimiser.group_lr(t)))
    np.testing.assert_array_equal(parameter.value, [[-0.5 * 4, -0.5 * 1]])


def test_error_feedback_lets_a_quadratic_converge_and_shows_a_nan_at_once():
    assert descend(ErrorFeedback(SGD(0.25), 0.25)) < 1e-6
    u = np.array([[1.0, np.nan, 3.0, 2.0], [1.0, 0.0, 3.0, 2.0]])
    np.testing.assert_array_equal(largest(u, 0.5), [[0, np.nan, 3, 0], [0, 0, 3, 2]])
    np.testing.assert_array_equal(largest(u, 0.25), [u[0], [0, 0, 3, 0]])


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: Critical(SGD(), 0),
            "expected a capacity of at least 1 gradient, a whole number, got 0",
        ),
        (
            lambda: Critical(SGD(), 2.5),
            "expected a capacity of at least 1 gradient, a whole number, got 2.5",
        ),
        (lambda: Critical(SGD(), decay=1.1), "expected a memory decay from 0 to 1, got 1.1"),
        (lambda: Critical(SGD(), decay=np.array([0.5, -1])), "expected a memory decay from 0 to 1"),
        (lambda: Critical(SGD(), decay=np.nan), "expected a memory decay from 0 to 1, got nan"),
        (
            lambda: Critical(SGD(), kappa=-1),
            "expected a finite kappa >= 0, got -1; 0 leaves the past out",
        ),
        (lambda: Critical(SGD(), kappa=np.inf), "expected a finite kappa >= 0, got inf"),
        (
            lambda: Critical(SGD(), aggregation="avg"),
            "expected an aggregation among sum, mid, .*, max, got 'avg'",
        ),
        (
            lambda: ErrorFeedback(SGD(), 0),
            "expected a share above 0 and up to 1 of the entries, got 0",
        ),
        (
            lambda: ErrorFeedback(SGD(), 1.5),
            "expected a share above 0 and up to 1 of the entries, got 1.5",
        ),
        (
            lambda: run(ErrorFeedback(SGD(schedule=lambda step: 0.0), 0.5), *problem(0)),
            "expected step sizes > 0 under error feedback, got 0.0",
        ),
    ],
)
def test_wrong_values_get_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()
