"""SGD, momentum, Adam, weight decay and schedules against the formulas written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aopnp import SGD
from aopnp.arrays import to_device, to_host
from aopnp.estimators import OuterProducts, Step
from aopnp.estimators.outer_products import SideBySide, add_scaled, dense
from aopnp.nn import Parameter
from aopnp.optim import (
    Adam,
    Cosine,
    Critical,
    ErrorFeedback,
    Moments,
    MultiStep,
    ParameterGroups,
    StepDecay,
    WarmUp,
)
from tests.devices import ON_DEVICES, need

OPTIMISERS = {
    "sgd": lambda lr: SGD(lr, weight_decay=0.01),
    "momentum": lambda lr: SGD(lr, 0.9, weight_decay=0.01),
    "nesterov": lambda lr: SGD(
        lr, 0.9, nesterov=True, weight_decay=0.01, schedule=StepDecay(2, 0.5)
    ),
    "adam": lambda lr: Adam(lr, weight_decay=0.01, schedule=StepDecay(2, 0.5)),
    "decoupled": lambda lr: SGD(lr, 0.9, nesterov=True, weight_decay=0.01, decoupled=True),
    "adam coupled": lambda lr: Adam(lr, weight_decay=0.01, decoupled=False),
}
AROUND = {
    "critical": lambda lr: Critical(SGD(lr, 0.9, weight_decay=0.01), capacity=2),
    "critical adam": lambda lr: Critical(Adam(lr), capacity=2, aggregation="mean", synced=True),
    "apart": lambda lr: ParameterGroups(SGD(lr, 0.9, weight_decay=0.01), Adam(lr)),
    "error feedback": lambda lr: ErrorFeedback(SGD(lr, 0.9, schedule=StepDecay(2, 0.5)), share=0.3),
}
EVERY_OPTIMISER = pytest.mark.parametrize(
    "build", (OPTIMISERS | AROUND).values(), ids=OPTIMISERS | AROUND
)


def moved(optimiser, value, gradients, start=0):
    """Return the value after one update for each of `gradients`."""
    parameter = Parameter(value.copy())
    for t, parameter.grad in enumerate(gradients, start):
        optimiser.update([parameter], Step(t, optimiser.lr(t)))
    return parameter.value


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.5, True)])
@pytest.mark.parametrize("decay", [0.0, 0.25])
def test_sgd_is_its_formula(momentum, nesterov, decay):
    rng = np.random.default_rng(0)
    lr = np.array([0.5, 0.25])
    optimiser = SGD(lr, momentum, nesterov=nesterov, weight_decay=decay, schedule=StepDecay(2, 0.5))
    parameter = Parameter(rng.normal(size=(2, 3, 4)))
    w, v = parameter.value.copy(), np.zeros((2, 3, 4))
    for t in range(5):
        gradient = parameter.grad = rng.normal(size=(2, 3, 4))
        optimiser.update([parameter], Step(t, optimiser.lr(t)))
        decayed = gradient + decay * w
        v = momentum * v + decayed
        direction = decayed + momentum * v if nesterov else v
        w = w - (lr * 0.5 ** (t // 2))[:, None, None] * direction
        np.testing.assert_allclose(parameter.value, w, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("make", [lambda: SGD(0.5), lambda: SGD(0.5, 0.5), lambda: Adam(0.5)])
def test_a_factored_gradient_moves_the_weights_as_its_matrix_does(make):
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 4, (2, 3, 4)).astype(float)
    factored, plain = Parameter(values.copy()), Parameter(values.copy())
    optimisers = make(), make()
    for t in range(3):
        a, b = (
            rng.integers(-3, 4, (2, 5, 3)).astype(float),
            rng.integers(-3, 4, (2, 5, 4)).astype(float),
        )
        count = np.array([2, 5])
        plain.grad = np.stack([a[r, :k].T @ b[r, :k] for r, k in enumerate(count)])
        factored.grad = OuterProducts(a, b, count)
        np.testing.assert_array_equal(dense(factored.grad), plain.grad)
        for optimiser, parameter in zip(optimisers, (factored, plain), strict=True):
            optimiser.update([parameter], Step(t, optimiser.lr(t)))
        np.testing.assert_array_equal(factored.value, plain.value)


def test_sgd_without_momentum_never_multiplies_a_factored_gradient_out(monkeypatch):
    a, b = np.ones((1, 2, 3)), np.full((1, 2, 4), 2.0)
    monkeypatch.setattr(OuterProducts, "dense", None)
    w = moved(
        SGD(0.5, weight_decay=0.5), np.full((1, 3, 4), 8.0), [OuterProducts(a, b, np.array([2]))]
    )
    np.testing.assert_array_equal(w, np.full((1, 3, 4), 8 - 0.5 * (4 + 0.5 * 8)))


def adam_by_hand(w, gradients, lr, beta1, beta2, eps, decay):
    """Kingma and Ba 2015, algorithm 1, in float64; the decay of Loshchilov and Hutter 2019,
    algorithm 2."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for n, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        corrected, size = m / (1 - beta1**n), np.sqrt(v / (1 - beta2**n))
        w = w - lr[n - 1] * (corrected / (size + eps) + decay * w)
    return w


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options", [{}, {"beta1": 0.0, "beta2": 0.5, "eps": 0.1}, {"weight_decay": 0.3}]
)
def test_adam_is_its_formula(dtype, options):
    rng = np.random.default_rng(1)
    w, gradients = (
        rng.normal(size=(2, 3, 4)),
        rng.normal(size=(9, 2, 3, 4)) * 10.0 ** rng.integers(-3, 3, (9, 1, 1, 1)),
    )
    optimiser = Adam(np.array([0.5, 0.01]), schedule=MultiStep((4,), 0.5), **options)
    used = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0} | options
    got = moved(optimiser, w.astype(dtype), gradients.astype(dtype))
    assert got.dtype == dtype
    lr = np.array([0.5, 0.01])[:, None, None] * np.array([1.0] * 4 + [0.5] * 5)[:, None, None, None]
    expected = adam_by_hand(w, gradients, lr, *used.values())
    np.testing.assert_allclose(got, expected, rtol=1e-13 if dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adams_first_step_has_the_size_of_lr_whatever_the_gradient_and_the_step_it_is_taken_at(
    dtype,
):
    gradient = np.array([[1e-3, -1.0, 1e6]], dtype)
    for start in (0, 1000):
        step = moved(Adam(0.25, eps=1e-12), np.zeros((1, 3), dtype), [gradient], start)
        np.testing.assert_allclose(
            step, -0.25 * np.sign(gradient), rtol=4 * np.finfo(dtype).eps + 1e-9
        )


def test_adams_decay_is_decoupled_and_sgds_passes_through_the_momentum():
    rng = np.random.default_rng(2)
    w, gradients = rng.integers(-9, 9, (1, 3, 4)).astype(float), rng.normal(size=(3, 1, 3, 4))
    decayed, plain = (Adam(0.5, weight_decay=decay) for decay in (0.25, 0.0))
    moved(decayed, w, gradients)
    moved(plain, w, gradients)
    for one, other in zip(decayed.state.values(), plain.state.values(), strict=True):
        np.testing.assert_array_equal(one.mean, other.mean)
        np.testing.assert_array_equal(one.square, other.square)
    still = [np.zeros((1, 3, 4))] * 3
    np.testing.assert_array_equal(moved(Adam(0.5, weight_decay=0.5), w, still), 0.75**3 * w)
    np.testing.assert_array_equal(moved(SGD(0.5, weight_decay=0.5), w, still), 0.75**3 * w)
    heavy = SGD(0.5, 0.5, weight_decay=0.5)
    moved(heavy, w, still[:1])
    np.testing.assert_array_equal(next(iter(heavy.state.values())), 0.5 * w)


@EVERY_OPTIMISER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stack_of_step_sizes_moves_as_each_alone_bit_for_bit_and_a_nan_stays_in_its_replica(
    build, dtype
):
    rng, lr = np.random.default_rng(3), np.array([0.3, 0.07, 0.011])
    w, gradients = (
        rng.normal(size=(3, 4, 2)).astype(dtype),
        rng.normal(size=(6, 3, 4, 2)).astype(dtype),
    )
    gradients[3, 1, 0, 0] = np.nan
    together = moved(build(lr), w, gradients)
    assert together.dtype == dtype
    assert np.isnan(together).sum() == np.isnan(together[1, 0, 0]) == 1
    for r in range(3):
        np.testing.assert_array_equal(
            together[r], moved(build(lr[r]), w[r : r + 1], gradients[:, r : r + 1])[0]
        )


@pytest.mark.parametrize("build", OPTIMISERS.values(), ids=OPTIMISERS)
def test_parameters_and_what_is_remembered_of_them_are_moved_in_place(build):
    """Dense layers store their weights as a transposed view."""
    stored = np.ones((2, 4, 3))
    parameter, optimiser = Parameter(stored.swapaxes(-1, -2)), build(0.1)
    parameter.grad = np.ones((2, 3, 4))
    optimiser.update([parameter], Step(0, optimiser.lr(0)))
    remembered = [
        state.mean if isinstance(state, Moments) else state for state in optimiser.state.values()
    ]
    first = [array.copy() for array in remembered]
    parameter.grad = np.full((2, 3, 4), 3.0)
    optimiser.update([parameter], Step(1, optimiser.lr(1)))
    assert all((now != before).all() for now, before in zip(remembered, first, strict=True))
    assert np.shares_memory(parameter.value, stored)
    assert (stored < 1).all()


@ON_DEVICES
@EVERY_OPTIMISER
def test_optimisers_on_a_device_move_as_on_the_host_and_never_wait(device, build):
    need(device)
    from aopnp.arrays.cuda_sim.device import no_waiting

    rng, lr = np.random.default_rng(4), np.array([0.3, 0.07])
    w, gradients = (
        rng.normal(size=(2, 4, 2)).astype(np.float32),
        rng.normal(size=(4, 2, 4, 2)).astype(np.float32),
    )
    there, moved_there = to_device(w, device), [to_device(g, device) for g in gradients]
    with no_waiting():
        got = moved(build(lr), there, moved_there)
    tolerance = 0 if device == "cuda-sim" else 1e-6
    np.testing.assert_allclose(
        to_host(got), moved(build(lr), w, gradients), rtol=tolerance, atol=tolerance
    )


def test_unlike_gradients_side_by_side():
    a, b, matrix = np.ones((1, 2, 3)), np.full((1, 2, 4), 2.0), np.full((2, 3, 4), 5.0)
    both = SideBySide([(slice(0, 1), OuterProducts(a, b, np.array([2]))), (slice(1, 3), matrix)])
    np.testing.assert_array_equal(dense(both)[:, 0, 0], [4, 5, 5])
    w = np.zeros((3, 3, 4))
    add_scaled(w, both, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(w[:, 0, 0], [4, 10, 15])


@given(st.integers(1, 50), st.integers(0, 100))
def test_schedules(total, t):
    cosine = Cosine(total)
    assert cosine(0) == 1
    assert cosine(total) == pytest.approx(0, abs=1e-15)
    assert cosine(t) == pytest.approx(math.cos(math.pi * min(t, total) / total / 2) ** 2)
    assert StepDecay(total, 0.5)(t) == 0.5 ** (t // total)
    warm = WarmUp(total, cosine)
    assert warm(t) == ((t + 1) / total if t < total else cosine(t - total))
    drops = MultiStep((total, total + 7, 90), 0.5)
    assert drops(t) == 0.5 ** ((t >= total) + (t >= total + 7) + (t >= 90))
    assert MultiStep((), 0.5)(t) == 1


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: SGD(0), "expected finite step sizes > 0, got lr = 0"),
        (lambda: SGD(np.array([0.1, np.nan])), "expected finite step sizes > 0"),
        (lambda: SGD(momentum=1.0), "expected momentum from 0 to below 1, got 1.0"),
        (lambda: SGD(nesterov=True), "expected a momentum > 0 with nesterov"),
        (lambda: SGD(weight_decay=-1e-4), "expected a finite weight decay >= 0, got -0.0001"),
        (lambda: Adam(-1.0), "expected finite step sizes > 0, got lr = -1.0"),
        (lambda: Adam(beta1=1.0), "expected beta1 and beta2 from 0 to below 1, got 1.0 and 0.999"),
        (lambda: Adam(beta2=-0.1), "expected beta1 and beta2 from 0 to below 1, got 0.9 and -0.1"),
        (lambda: Adam(eps=0.0), "expected a finite eps > 0, got 0.0"),
        (lambda: Adam(weight_decay=np.inf), "expected a finite weight decay >= 0, got inf"),
        (lambda: Adam(weight_decay=np.nan), "expected a finite weight decay >= 0, got nan"),
        (lambda: MultiStep((4, 2)), r"expected milestones >= 0 in rising order, got \(4, 2\)"),
        (lambda: MultiStep((2, 2)), "expected milestones >= 0 in rising order"),
        (lambda: MultiStep((-1,)), "expected milestones >= 0 in rising order"),
    ],
)
def test_wrong_values_get_a_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


@pytest.mark.parametrize(
    "optimiser", [SGD(4e-4, weight_decay=1e-3), Adam(4e-4, weight_decay=1e-3)], ids=["sgd", "adam"]
)
def test_a_small_decay_is_not_lost_in_float32(optimiser):
    """lr wd = 4e-7 is 3.4 units in the last place of 1: as a factor 1 - lr wd it would be 7 %
    off."""
    start = np.random.default_rng(0).uniform(1, 2, (1, 100, 200)).astype(np.float32)
    steps = 100
    w = moved(optimiser, start, [np.zeros_like(start)] * steps)
    shrunk = np.log(start.astype(float) / w).mean()
    assert shrunk == pytest.approx(steps * 4e-7, rel=0.01)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.5, True)])
def test_decoupled_decay_of_sgd_shrinks_the_weights_and_is_not_seen_by_the_momentum(
    momentum, nesterov
):
    """Exactly, on integers and powers of two, at two step sizes."""
    rng, lr = np.random.default_rng(0), np.array([0.5, 0.25])
    optimiser = SGD(
        lr,
        momentum,
        nesterov=nesterov,
        weight_decay=0.5,
        decoupled=True,
        schedule=StepDecay(2, 0.5),
    )
    w, gradients = (rng.integers(-9, 9, shape).astype(float) for shape in ((2, 3, 4), (4, 2, 3, 4)))
    parameter, v = Parameter(w.copy()), np.zeros((2, 3, 4))
    for t, g in enumerate(gradients):
        parameter.grad = g
        optimiser.update([parameter], Step(t, optimiser.lr(t)))
        v, lr_t = momentum * v + g, (lr * 0.5 ** (t // 2))[:, None, None]
        w = (1 - lr_t * 0.5) * w - lr_t * (g + momentum * v if nesterov else v)
        np.testing.assert_array_equal(parameter.value, w)
    if momentum:
        np.testing.assert_array_equal(optimiser.state[parameter], v)


def test_coupled_decay_of_adam_is_l2_regularisation():
    rng = np.random.default_rng(1)
    w, gradients = rng.normal(size=(2, 3, 4)), rng.normal(size=(9, 2, 3, 4))
    coupled, plain = Parameter(w.copy()), Parameter(w.copy())
    optimisers = Adam(0.1, weight_decay=0.3, decoupled=False), Adam(0.1)
    for t, g in enumerate(gradients):
        coupled.grad, plain.grad = g, g + 0.3 * coupled.value
        for optimiser, parameter in zip(optimisers, (coupled, plain), strict=True):
            optimiser.update([parameter], Step(t, optimiser.lr(t)))
        np.testing.assert_allclose(coupled.value, plain.value, rtol=1e-14)
    assert (coupled.grad == gradients[-1]).all()  # what others may hold is not changed


def test_apart_moves_the_feedback_by_an_optimiser_and_a_schedule_of_its_own():
    """As each optimiser would alone: state, step size, decay and all."""
    rng = np.random.default_rng(0)
    values, gradients = rng.normal(size=(2, 1, 3, 4)), rng.normal(size=(5, 2, 1, 3, 4))

    def network():
        return SGD(0.5, 0.9, weight_decay=0.1, schedule=StepDecay(2, 0.5))

    def feedback():
        return Adam(0.25, weight_decay=0.2, schedule=StepDecay(1, 0.5))

    together = ParameterGroups(network(), feedback())
    both = [Parameter(values[0].copy()), Parameter(values[1].copy(), group="feedback")]
    for t, own in enumerate(gradients):
        both[0].grad, both[1].grad = own
        np.testing.assert_array_equal(together.lr(t), network().lr(t))
        np.testing.assert_array_equal(together.group_lr(t)["feedback"], feedback().lr(t))
        assert network().group_lr(t) == {}
        together.update(both, Step(t, together.lr(t), group_lr=together.group_lr(t)))
    np.testing.assert_array_equal(both[0].value, moved(network(), values[0], gradients[:, 0]))
    np.testing.assert_array_equal(both[1].value, moved(feedback(), values[1], gradients[:, 1]))
    assert together.state_kind == "SGD with momentum, and Adam for feedback"
    velocity, moments = together.saved(both)
    assert (velocity.shape, moments.updates) == ((1, 3, 4), 5)
    again = ParameterGroups(network(), feedback())
    again.restore(both, [velocity, moments])
    for kept, back in zip(together.saved(both), again.saved(both), strict=True):
        assert back is kept


def test_without_a_step_size_of_its_own_the_feedback_takes_that_of_the_step():
    parameter = Parameter(np.ones((1, 2)), np.ones((1, 2)), group="feedback")
    ParameterGroups(SGD(1.0), SGD(1.0)).update([parameter], Step(lr=np.array([0.25])))
    np.testing.assert_array_equal(parameter.value, 0.75)
