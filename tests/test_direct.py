"""Direct feedback: the table of hooks that inject an error, what each learns, and what is no longer
computed."""

import itertools

import numpy as np
import pytest

from aopnp import (
    AOP,
    SGD,
    BatchNorm,
    Chain,
    Conv2d,
    CrossEntropy,
    Dense,
    Flatten,
    MaxPool2d,
    MeanSquaredError,
    ReLU,
    RowMemory,
    Streams,
    Tanh,
    Unflatten,
    fit,
    topk,
)
from aopnp.arrays import to_host
from aopnp.arrays.streams import Purpose
from aopnp.estimators import Step
from aopnp.estimators.outer_products import dense
from aopnp.estimators.product import Product
from aopnp.nn import Residual
from aopnp.nn.feedback import (
    DFA,
    DIRECT,
    DKP,
    DRTP,
    FDFA,
    FeedbackInit,
    Hook,
    Uniform,
    kaiming_uniform,
    normal,
    zeros,
)
from aopnp.optim import ParameterGroups, StepDecay
from aopnp.training import backprop, learn_jacobians
from aopnp.training.rules import Backprop
from tests.devices import ON_DEVICES, need
from tests.feedback import KINDS, direct, rule_for, train

EACH = pytest.mark.parametrize("kind", DIRECT.values(), ids=DIRECT)
NAMES = pytest.mark.parametrize("name", KINDS)
TRAINING = Step(training=True)
FROZEN = [name for name, kind in DIRECT.items() if not kind.trained]


def integers(rng, shape):
    return rng.integers(-2, 3, shape).astype(float)


def whole(network, R=2, seed=0):
    """Initialise `network`, put integers into all its matrices and return it."""
    rng = np.random.default_rng(seed)
    network.initialise(Streams(seed, range(R)))
    hooks = [layer.b for layer in network.walk() if hasattr(layer, "b")]
    for parameter in {id(p): p for p in [*network.parameters(), *hooks]}.values():
        parameter.value[...] = integers(rng, parameter.value.shape)
    return network


def images(kind, R=2):
    """Return a network of integers with two hooks of a kind, one above feature maps that are pooled
    further up."""
    convolution = [Conv2d(2, 3, 2), ReLU(), kind(2, (3, 3, 3)), MaxPool2d(2), Flatten()]
    return whole(Chain(*convolution, Dense(3, 4), ReLU(), kind(2, 4), Dense(4, 2)), R)


def batch(network, R=2):
    """Return inputs and targets whose squared error has a gradient of quarters: 2 / (M K) = 1/4."""
    rng = np.random.default_rng(3)
    x = (
        integers(rng, (R, 4, 4, 4, 2))
        if isinstance(network.layers[0], Conv2d)
        else integers(rng, (R, 4, 3))
    )
    return x, integers(rng, (R, 4, 2))


def filled(network, rule=None, loss=None):
    """Run the rule on a batch; return (the loss, all gradients of weights as matrices)."""
    loss = loss or MeanSquaredError()
    (rule or rule_for(network))(network, loss, *batch(network), TRAINING)
    return loss, [dense(p.grad) for p in network.parameters() if p.group != "feedback"]


@EACH
def test_a_hook_is_the_identity_and_sends_its_error_to_every_activation_by_b(kind):
    """The layers below get, example by example, what an exact backward pass makes of e = error @
    B."""
    network = images(kind)
    before = [layer.b.value.copy() for layer in network.walk() if hasattr(layer, "b")]
    x, target = batch(network)
    assert network.layers[2].forward(x[..., :1].repeat(3, -1)[:, :, :3, :3]) is network.layers[2].x
    loss, _ = filled(network)
    np.testing.assert_array_equal(loss.backward(), (network.forward(x) - target) / 4)
    filled(network)
    error = -target / 4 if kind is DRTP else loss.backward()
    convolution, rows = whole(Chain(Conv2d(2, 3, 2), ReLU())), whole(Chain(Dense(3, 4), ReLU()))
    for part, own, b, at in zip(
        (convolution, rows), (network.layers[:2], network.layers[5:7]), before, (2, 7), strict=True
    ):
        take_values(part, Chain(*own))
        a = part.forward(x if part is convolution else network.layers[5].x)
        np.testing.assert_array_equal(network.layers[at].x, a)
        e = [[error[r, m] @ b[r] for m in range(4)] for r in range(2)]
        part.backward(np.reshape(e, a.shape), needs_input=False)
        for parameter, source in zip(part.parameters(), Chain(*own).parameters(), strict=True):
            np.testing.assert_array_equal(dense(source.grad), dense(parameter.grad))
            assert dense(source.grad).any()


def test_the_error_of_a_feature_map_has_a_column_for_each_of_its_numbers():
    hook, rng = whole(DFA(2, (3, 4, 5))), np.random.default_rng(0)
    x, error = integers(rng, (2, 6, 3, 4, 5)), integers(rng, (2, 6, 2))
    hook.forward(x)
    e = hook.backward(None, Step(loss=Given(error)))
    b = hook.b.value.reshape(2, 2, 3, 4, 5)
    np.testing.assert_array_equal(e, np.einsum("rmk,rkhwc->rmhwc", error, b))


class Given:
    """A teacher that sends back what it was given."""

    def __init__(self, error, target=None):
        self.error, self.target = error, target

    def backward(self):
        return self.error

    def target_part(self):
        return self.target


# The gradient checks of section 2.1


def take_values(network, other):
    for parameter, source in zip(network.parameters(), other.parameters(), strict=True):
        parameter.value[...] = source.value


@pytest.mark.parametrize("layers", [2, 3])
def test_with_the_true_jacobian_of_a_linear_network_it_is_back_propagation(layers):
    pairs = list(itertools.pairwise([3, 4, 5, 2] if layers == 3 else [3, 4, 2]))
    hooks = [DFA(2, P) for _, P in pairs]  # the last one at the outputs, where B = 1
    parts = [part for pair, hook in zip(pairs, hooks, strict=True) for part in (Dense(*pair), hook)]
    plain, network = whole(Chain(*(Dense(*pair) for pair in pairs))), whole(Chain(*parts))
    take_values(network, plain)
    jacobian = np.stack([np.eye(2)] * 2)
    for hook, layer in reversed(list(zip(hooks, plain.layers, strict=True))):
        hook.b.value[...] = jacobian
        jacobian = jacobian @ layer.weight.value.swapaxes(-1, -2)
    (_, own), (_, expected) = filled(network), filled(plain)
    for gradient, exact in zip(own, expected, strict=True):
        assert exact.any()
        np.testing.assert_array_equal(gradient, exact)


def test_with_the_true_jacobian_of_a_linear_convolution_it_is_back_propagation():
    plain = whole(Chain(Conv2d(2, 3, 2), Flatten(), Dense(27, 2)))
    network = whole(Chain(Conv2d(2, 3, 2), DFA(2, (3, 3, 3)), Flatten(), Dense(27, 2)))
    take_values(network, plain)
    network.layers[1].b.value[...] = plain.layers[2].weight.value.swapaxes(-1, -2)
    for gradient, exact in zip(filled(network)[1], filled(plain)[1], strict=True):
        np.testing.assert_array_equal(gradient, exact)


@EACH
def test_another_b_changes_nothing_in_the_output_layer_and_everything_below(kind):
    network = images(kind)
    _, first = filled(network)
    for layer in network.walk():
        if hasattr(layer, "b"):
            layer.b.value[...] = 3 * layer.b.value + 1
    _, second = filled(network)
    for gradient, other in list(zip(first, second, strict=True))[-2:]:
        np.testing.assert_array_equal(gradient, other)
    for gradient, other in list(zip(first, second, strict=True))[:-2]:
        assert (gradient != other).any()


def test_batch_norm_below_an_injected_error_is_differentiated_through_its_statistics():
    """The gradients of <e, a(theta)>, e fixed, by central differences; the statistics take what a
    bias would add."""
    network, loss = Chain(Dense(3, 4), BatchNorm(4), Tanh(), DFA(2, 4), Dense(4, 2)), CrossEntropy()
    network.initialise(Streams(0, range(2)))
    rng = np.random.default_rng(0)
    x, labels, below = (
        rng.normal(size=(2, 6, 3)),
        rng.integers(0, 2, (2, 6)),
        Chain(*network.layers[:3]),
    )
    for parameter in below.parameters():
        parameter.value += 0.3 * rng.normal(size=parameter.value.shape)
    backprop(network, loss, x, labels, TRAINING)
    e, h = loss.backward() @ network.layers[3].b.value, 1e-6
    for parameter in below.parameters():
        gradient = dense(parameter.grad)
        for place in np.ndindex(parameter.value.shape):
            values = []
            for sign in (1, -1):
                parameter.value[place] += sign * h
                values.append((e * below.forward(x, TRAINING)).sum())
                parameter.value[place] -= sign * h
            assert gradient[place] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-9)
    assert np.abs(network.layers[1].gamma.grad).min() > 1e-4
    np.testing.assert_allclose(network.layers[0].bias.grad, 0, atol=1e-15)
    below.forward(x)
    below.backward(e)
    # With running statistics it is not nothing.
    assert np.abs(network.layers[0].bias.grad).min() > 1e-4


# What is not computed


@EACH
def test_nothing_below_a_hook_depends_on_the_weights_above_in_the_backward_pass(kind):
    """NaN in the weights above, put there once the forward pass (and FDFA's tangents) are over,
    reaches nobody."""
    network = images(kind)
    _, expected = filled(network)

    def poison(network, loss, step):
        network.layers[5].weight.value[...] = network.layers[8].weight.value[...] = np.nan

    looks = getattr(rule_for(network), "between", ())
    _, gradients = filled(network, Backprop((*looks, poison)))
    for gradient, clean in zip(gradients, expected, strict=True):
        assert np.isfinite(clean).all()
        np.testing.assert_array_equal(gradient, clean)
    plain = whole(
        Chain(*(Hook() if isinstance(layer, kind) else layer for layer in images(kind).layers))
    )
    # The sentinel does find who looks.
    assert np.isnan(filled(plain, Backprop((poison,)))[1][0]).all()


@EACH
def test_layers_above_a_hook_multiply_by_no_transposed_weights(kind):
    """Also where what lies between has no parameters; between two layers of one segment the product
    is made."""
    lower = [
        Dense(3, 4),
        ReLU(),
        Dense(4, 4),
        ReLU(),
        kind(2, 4),
        Unflatten(2, 2, 1),
        MaxPool2d(1),
        Flatten(),
    ]
    network = whole(Chain(*lower, Dense(4, 6), kind(2, 6), Chain(Hook(), Dense(6, 2))))
    filled(network)
    layers = [layer for layer in network.walk() if isinstance(layer, Dense)]
    spent = [layer.input_product.spent() for layer in layers]
    assert [bool(each) for each in spent] == [False, True, False, False]
    np.testing.assert_array_equal(spent[1]["flops"], 2 * 4 * 4 * 4)
    for layer in layers:
        np.testing.assert_array_equal(
            layer.weight_product.spent()["flops"], 2 * 4 * layer.w[0].size
        )


M, K, SIZES = 8, 3, (5, 7, 4)
FORWARD = WEIGHTS = 2 * M * (5 * 7 + 7 * 4 + 4 * 3)
TRANSPOSED, INJECTED = 2 * M * (7 * 4 + 4 * 3), 2 * M * K * (7 + 4)
FLOPS = {
    "dfa": FORWARD + WEIGHTS + INJECTED,
    "drtp": FORWARD + WEIGHTS + INJECTED,
    "dkp": FORWARD + WEIGHTS + 2 * INJECTED,  # dB = error^T a is as large as error @ B
    "fdfa": FORWARD
    + WEIGHTS
    + 2 * INJECTED
    + TRANSPOSED,  # so is d^T u; u W costs what G W^T would have
}


def trained(kind, optimiser=None):
    """Return (network, history, data) after one step, which is an epoch."""
    first, second = (Hook() if kind is None else kind(K, n) for n in SIZES[1:])
    network = Chain(Dense(5, 7), Tanh(), first, Dense(7, 4), Tanh(), second, Dense(4, 3))
    streams, rng = Streams(0, range(2)), np.random.default_rng(0)
    network.initialise(streams)
    data = rng.normal(size=(M, 5)), rng.integers(0, K, M)
    options = {"streams": streams, "batch_size": M, "epochs": 1, "rule": rule_for(network)}
    return network, fit(network, CrossEntropy(), optimiser or SGD(0.1), data, **options), data


@pytest.mark.parametrize("name", FLOPS)
def test_the_flops_of_a_network_by_hand(name):
    history = trained(DIRECT[name])[1]
    np.testing.assert_array_equal(history["flops"], [[FLOPS[name]] * 2])
    overhead = TRANSPOSED if name == "fdfa" else 0
    np.testing.assert_array_equal(history["overhead_flops"], [[overhead] * 2])
    np.testing.assert_array_equal(history["exact_flops"], history["flops"] - overhead)
    np.testing.assert_array_equal(history["bytes_moved"], 0)


def test_what_back_propagation_computes_beside_it():
    np.testing.assert_array_equal(trained(None)[1]["flops"], [[FORWARD + WEIGHTS + TRANSPOSED] * 2])


# Training


@NAMES
def test_only_what_is_trained_moves_and_is_handed_to_an_optimiser(name):
    network, fresh = train(name, Streams(0, [0, 1]))[0], direct(name)
    fresh.initialise(Streams(0, [0, 1]))
    hooks = [
        pair for pair in zip(network.walk(), fresh.walk(), strict=True) if hasattr(pair[0], "b")
    ]
    assert len(hooks) == 2
    for hook, start in hooks:
        assert any(p is hook.b for p in network.parameters()) == hook.trained
        assert hook.b.group == "feedback"
        assert (hook.b.value == start.b.value).all() == (name in FROZEN)
        assert ("b" in hook.saved()) == (name in FROZEN)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@NAMES
def test_a_stack_trains_as_each_alone_bit_for_bit(name, dtype):
    """Also the angles, of more steps than are added one by one."""
    network, together = train(name, Streams(0, [2, 0]), dtype)
    for r, run in enumerate((2, 0)):
        one, alone = train(name, Streams(0, [run]), dtype)
        assert together.curves.keys() == alone.curves.keys()
        assert {"alignment_angle/4", "alignment_angle/11"} <= alone.curves.keys()
        for curve in alone.curves:
            np.testing.assert_array_equal(together[curve][:, r], alone[curve][:, 0], err_msg=curve)
        for layer, single in zip(network.walk(), one.walk(), strict=True):
            for value, own in zip(values(layer), values(single), strict=True):
                assert value.dtype == dtype
                np.testing.assert_array_equal(value[r], own[0])


def values(layer):
    return [p.value for p in layer.parameters()] or ([layer.b.value] if hasattr(layer, "b") else [])


@NAMES
def test_replicas_of_one_run_share_b_and_all_noise(name):
    network, _ = train(name, Streams(0, [4, 4]))
    for parameter in network.parameters():
        np.testing.assert_array_equal(parameter.value[0], parameter.value[1])


@ON_DEVICES
@NAMES
def test_a_device_trains_the_same(name, device):
    need(device)
    streams = Streams(0, [0, 1])
    (here, history), (there, history_there) = (
        train(name, streams, device=each) for each in ("cpu", device)
    )
    for layer, other in zip(here.walk(), there.walk(), strict=True):
        for value, value_there in zip(values(layer), values(other), strict=True):
            np.testing.assert_allclose(to_host(value_there), value, rtol=1e-12, atol=1e-12)
    for curve in history.curves:
        np.testing.assert_allclose(history_there[curve], history[curve], rtol=1e-10, err_msg=curve)


# Direct Kolen-Pollack


def hand(network, data):
    """Return (error [R, M, K], activations at both hooks) before any step."""
    loss, (x, labels) = CrossEntropy(), data
    loss.forward(network.forward(x[None]), labels[None])
    return loss.backward(), [network.layers[k].x.copy() for k in (2, 5)]


def test_dkp_moves_b_downhill_along_its_product_with_the_same_activations_as_the_weights():
    """One step of a network: B by error^T a of the forward pass, at its own step size; W_L by a^T
    error."""
    start, *_ = trained(DKP, SGD(1e-30))
    network, _, data = trained(DKP, ParameterGroups(SGD(0.5), SGD(0.25)))
    error, activations = hand(start, data)
    for k, a in zip((2, 5), activations, strict=True):
        moved = start.layers[k].b.value - 0.25 * np.einsum("rmk,rmd->rkd", error, a)
        np.testing.assert_allclose(network.layers[k].b.value, moved, rtol=1e-12, atol=1e-15)
    last = start.layers[6].weight.value - 0.5 * np.einsum("rmd,rmk->rdk", activations[1], error)
    np.testing.assert_allclose(network.layers[6].weight.value, last, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        dense(network.layers[5].b.grad),
        dense(network.layers[6].weight.grad).swapaxes(-1, -2),
        rtol=1e-14,
    )


def test_dkps_schedule_is_its_own():
    steps, network = 5, whole(DKP(2, 3))
    optimiser = ParameterGroups(SGD(0.5), SGD(1.0, schedule=StepDecay(2, 0.5)))
    error, a = np.ones((2, 4, 2)), np.ones((2, 4, 3))
    start = network.b.value.copy()
    for t in range(steps):
        network.forward(a)
        step = Step(
            t,
            optimiser.lr(t),
            training=True,
            loss=Given(error),
            group_lr=optimiser.group_lr(t),
        )
        network.backward(None, step)
        optimiser.update(network.parameters(), step)
    np.testing.assert_array_equal(network.b.value, start - 4 * (1 + 1 + 0.5 + 0.5 + 0.25))


def steps_of(hook, optimiser, errors, activations, noise=None):
    """Let `hook` learn from given errors and activations; return the estimates of dB."""
    seen = []
    for t, (error, a) in enumerate(zip(errors, activations, strict=True)):
        own = {} if noise is None else {hook: noise}
        step = Step(
            t,
            optimiser.lr(t),
            own,
            True,
            loss=Given(error),
            group_lr=optimiser.group_lr(t),
        )
        hook.forward(a, step)
        hook.backward(None, step)
        seen.append(dense(hook.b.grad))
        optimiser.update(hook.parameters(), step)
    return seen


def test_an_estimator_answers_for_dkps_gradient_and_its_memory_keeps_the_rest():
    rng, hook = np.random.default_rng(0), DKP(2, (3, 1, 2), estimator=AOP(topk, 2, RowMemory()))
    assert (DKP(2, 6).noise_slots(5), hook.noise_slots(5)) == (0, 5)
    whole(hook)
    noise = rng.gumbel(size=(2, 5))
    # Activations that the replicas share.
    error, a = integers(rng, (2, 5, 2)), integers(rng, (1, 5, 3, 1, 2))
    (estimate,) = steps_of(hook, SGD(1.0), [error], [a], noise)
    flat = np.broadcast_to(a.reshape(1, 5, 6), (2, 5, 6))
    kept_error, kept_a = hook.product.state.rows()
    owed = kept_error.swapaxes(-1, -2) @ kept_a
    np.testing.assert_array_equal(estimate + owed, error.swapaxes(-1, -2) @ flat)
    assert hook.product.state.cleared.sum(1).tolist() == [2, 2]
    assert owed.any(axis=(1, 2)).all()
    assert (
        hook.spent()["flops"].tolist() == [2 * 5 * 2 * 6 + 2 * 2 * 2 * 6 + 2 * 5 * (2 + 6) * 2] * 2
    )
    hook.initialise(Streams())
    assert hook.product.state is None


def test_the_memory_of_dkp_meets_the_step_size_of_the_feedback():
    """What waits is carried over at the ratio of step sizes: those of B, which change, not those of
    W."""
    estimator, rng = AOP(topk, 2, RowMemory()), np.random.default_rng(0)
    hook, product = whole(DKP(2, 3, estimator=estimator)), Product(estimator)
    noise, optimiser = (
        rng.gumbel(size=(2, 5)),
        ParameterGroups(SGD(0.5), SGD(1.0, schedule=StepDecay(1, 0.25))),
    )
    errors, activations = integers(rng, (3, 2, 5, 2)), integers(rng, (3, 2, 5, 3))
    got = steps_of(hook, optimiser, errors, activations, noise)
    other, constant = Product(estimator), []
    for t in range(3):
        step = Step(t, optimiser.group_lr(t)["feedback"], {product: noise}, training=True)
        np.testing.assert_array_equal(got[t], dense(product(errors[t], activations[t], step)))
        step = Step(t, np.array([0.5]), {other: noise})
        constant.append(dense(other(errors[t], activations[t], step)))
    assert (got[2] != constant[2]).any()
    without = whole(DKP(2, 3, estimator=estimator))
    without.forward(activations[0])
    # No step size of its own.
    without.backward(None, Step(noise={without: noise}, loss=Given(errors[0])))
    np.testing.assert_array_equal(dense(without.b.grad), got[0])


@pytest.mark.parametrize("decoupled", [False, True])
def test_dkp_tends_to_the_correlation_of_the_residual_with_the_activations(decoupled):
    """On a constant batch B -> -(1 / decay) error^T a, by (1 - lr decay) = 1/2 a step: exactly, on
    integers."""
    rng, hook = np.random.default_rng(0), whole(DKP(2, 3))
    optimiser = SGD(0.25, weight_decay=2.0, decoupled=decoupled)
    start, error, a = hook.b.value.copy(), integers(rng, (2, 4, 2)), integers(rng, (2, 4, 3))
    fixed = -error.swapaxes(-1, -2) @ a / 2.0
    for steps in (1, 4, 40):
        hook.b.value[...] = start
        steps_of(hook, optimiser, [error] * steps, [a] * steps)
        np.testing.assert_array_equal(hook.b.value, fixed + 0.5**steps * (start - fixed))


# Direct random target projection


def test_drtp_sends_the_targets_whatever_the_outputs_are():
    labels, rng = np.array([[0, 2, 1, 1]]), np.random.default_rng(0)
    hook, loss = whole(DRTP(3, 4)), CrossEntropy()
    hook.forward(integers(rng, (2, 4, 4)))
    expected = -np.eye(3)[labels] @ hook.b.value / 4
    for _ in range(2):
        loss.forward(rng.normal(size=(2, 4, 3)), labels)
        np.testing.assert_array_equal(hook.backward(None, Step(loss=loss)), expected)
    squared, target = MeanSquaredError(), integers(rng, (1, 4, 3))
    squared.forward(rng.normal(size=(2, 4, 3)), target)
    np.testing.assert_array_equal(hook.error(Step(loss=squared)), -target * (2 / 12))
    y = integers(rng, (2, 4, 3))
    squared.forward(y, target)
    np.testing.assert_allclose(squared.backward(), 2 * y / 12 - squared.target_part(), atol=1e-15)


# Forward direct feedback alignment


def smooth(*between, R=2):
    """Return a network with two FDFA hooks, the first at its input."""
    network = Chain(FDFA(3, 3), Dense(3, 2), *between, Tanh(), FDFA(3, 2), Dense(2, 3))
    network.initialise(Streams(0, [0] * R))
    return network


BETWEEN = pytest.mark.parametrize("between", [[], [BatchNorm(2)]], ids=["alone", "batch norm"])


def jacobians(network, number, M):
    """Return dy/da of every example at hook `number`, [R, M, K, D], column by column from unit
    tangents."""
    hook = network.layers[number]
    D, columns = (
        hook.activations,
        np.zeros((M, len(network.layers[-1].weight.value), M, 3, hook.activations)),
    )
    for m, j in itertools.product(range(M), range(D)):
        hook.perturbation = np.zeros((len(columns[0]), M, D))
        hook.perturbation[:, m, j] = 1
        columns[m, ..., j] = network.tangent(None)
    hook.perturbation = None
    return np.stack([columns[m, :, m] for m in range(M)], 1)


def test_a_perturbation_at_a_hook_is_multiplied_by_the_jacobian():
    network, x = smooth(), np.random.default_rng(0).normal(size=(1, 4, 3))
    network.forward(x)
    w1, w2, h = network.layers[1].weight.value, network.layers[4].weight.value, network.layers[3].x
    slopes = (1 - h * h)[..., None, :]
    np.testing.assert_array_equal(jacobians(network, 3, 4), np.stack([w2.swapaxes(-1, -2)] * 4, 1))
    expected = (w2.swapaxes(-1, -2)[:, None] * slopes) @ w1.swapaxes(-1, -2)[:, None]
    np.testing.assert_allclose(jacobians(network, 0, 4), expected, rtol=1e-13)


@BETWEEN
def test_what_reaches_the_outputs_is_the_derivative_along_all_perturbations_at_once(between):
    network, rng = smooth(*between), np.random.default_rng(0)
    x, h = rng.normal(size=(2, 4, 3)), 1e-6
    network.forward(x, TRAINING)
    learn_jacobians(network, CrossEntropy(), Step(5, training=True))
    hooks = [layer for layer in network.layers if isinstance(layer, FDFA)]
    u = [hook.perturbation for hook in hooks]
    d = hooks[0].output_tangent
    assert d is hooks[1].output_tangent

    def moved(t):
        y = Chain(*network.layers[1:-2]).forward(x + t * u[0], TRAINING)
        return network.layers[-1].forward(y + t * u[1], TRAINING)

    np.testing.assert_allclose(d, (moved(h) - moved(-h)) / (2 * h), rtol=1e-7, atol=1e-8)
    for hook, seen, number in zip(hooks, u, (0, len(network.layers) - 2), strict=True):
        drawn = network.layers[0].streams.normal(
            Purpose.NOISE, number, step=5, size=seen[0].size, xp=np
        )
        np.testing.assert_array_equal(seen, drawn.reshape(1, 4, hook.activations))


@BETWEEN
def test_the_mean_of_d_u_is_the_averaged_jacobian(between):
    """By the exact second moments of signs: every pattern of signs at both hooks at once is one
    replica."""
    M, D = 2, (3, 2)
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=M * sum(D))))
    network, x = smooth(*between, R=len(signs)), np.random.default_rng(0).normal(size=(1, M, 3))
    network.forward(x, TRAINING)
    hooks = [layer for layer in network.layers if isinstance(layer, FDFA)]
    expected = [jacobians(network, k, M)[0].mean(0) for k in (0, len(network.layers) - 2)]
    for hook, own in zip(hooks, np.split(signs, [M * D[0]], axis=1), strict=True):
        hook.perturbation = own.reshape(len(signs), M, -1)
        hook.b.value[...] = 0.25
    moved = network.tangent(None)
    for hook, jacobian in zip(hooks, expected, strict=True):
        hook.output_tangent = moved
        hook.learn(moved, TRAINING)
        np.testing.assert_allclose(
            hook.b.value[0] - hook.b.grad.mean(0), jacobian, rtol=1e-12, atol=1e-14
        )
        assert hook.b.grad.std(0).max() > 0.1  # no single draw is the mean


def test_fdfas_gradient_by_hand_and_once():
    network = whole(Chain(Dense(3, 4), FDFA(2, 4), Dense(4, 2)))
    hook, (x, target), seen = network.layers[1], batch(network), []
    assert (FDFA(2, 4).init, DFA(2, 4).init) == (zeros, normal)

    def look(network, loss, step):
        seen.extend([hook.perturbation.copy(), hook.output_tangent.copy()])

    rule = Backprop((learn_jacobians, look))
    rule(network, MeanSquaredError(), x, target, TRAINING)
    u, d = seen
    np.testing.assert_array_equal(d, u @ network.layers[2].weight.value)
    expected = hook.b.value - np.einsum("rmk,rmd->rkd", d, u) / 4
    np.testing.assert_allclose(hook.b.grad, expected, rtol=1e-12, atol=1e-14)
    assert not network.perturbed()
    with pytest.raises(
        ValueError,
        match="expected a tangent of the outputs, got none; train with the rule Backprop",
    ):
        backprop(network, MeanSquaredError(), x, target, TRAINING)
    rule(network, MeanSquaredError(), x, target, Step(1, training=True))
    assert (seen[2] != u).all()


@pytest.mark.parametrize(
    "network",
    [
        lambda: Chain(Dense(3, 4), Chain(Tanh(), FDFA(2, 4)), Dense(4, 2)),
        lambda: Chain(Dense(3, 4), Residual(Tanh(), FDFA(2, 4), Dense(4, 4)), Dense(4, 2)),
        lambda: Chain(
            Dense(3, 4), Residual(Tanh(), shortcut=Chain(Hook(), FDFA(2, 4))), Dense(4, 2)
        ),
        lambda: Chain(Dense(3, 4), Residual(Tanh(), FDFA(2, 4)), Dense(4, 2)),
    ],
)
def test_fdfa_learns_inside_chains_and_residuals(network):
    """And what is injected in a branch leaves the gradient beside it alone."""
    network = whole(network())
    filled(network)
    (hook,) = (layer for layer in network.walk() if isinstance(layer, FDFA))
    assert (hook.b.grad != hook.b.value).any()
    assert all(np.isfinite(dense(p.grad)).all() for p in network.parameters())


def test_fdfas_b_follows_the_jacobian_of_a_linear_network():
    network, streams = Chain(Dense(4, 5), FDFA(3, 5), Dense(5, 3)), Streams(0, range(3))
    network.initialise(streams)
    data = (
        np.random.default_rng(0).normal(size=(200, 4)),
        np.random.default_rng(1).integers(0, 3, 200),
    )
    options = {
        "streams": streams,
        "batch_size": 50,
        "epochs": 100,
        "rule": Backprop((learn_jacobians,)),
    }
    fit(network, CrossEntropy(), ParameterGroups(SGD(1e-4), SGD(0.05)), data, **options)
    b, w = network.layers[1].b.value, network.layers[2].weight.value.swapaxes(-1, -2)
    assert (cosine(b, w) > 0.98).all()
    assert np.abs(b - w).max() < 0.2


def cosine(a, b):
    return (a * b).sum((1, 2)) / np.sqrt((a * a).sum((1, 2)) * (b * b).sum((1, 2)))


# Initial values


def drawn(init: FeedbackInit, K, D):
    return init(np.random.default_rng(0), K, D)


def test_initial_values():
    values = drawn(normal, 25, 4000)
    assert values.shape == (25, 4000)
    assert values.std() == pytest.approx(0.2, rel=0.02)
    assert abs(values.mean()) < 0.002
    for D, bound in (
        (32 * 30 * 30, 0.01443),
        (32 * 28 * 28, 0.01546),
        (128, 0.2165),
    ):  # as published
        values = drawn(kaiming_uniform, 10, D)
        assert np.abs(values).max() == pytest.approx(bound, rel=0.02)
        assert abs(values.mean()) < 0.05 * bound
    assert drawn(zeros, 2, 3).tolist() == [[0.0] * 3] * 2
    tiny = drawn(Uniform(0, 1e-6), 10, 1000)
    assert 0 <= tiny.min() < 1e-8 < 0.99e-6 < tiny.max() < 1e-6


@EACH
def test_b_belongs_to_its_run_and_has_the_networks_dtype(kind):
    hook, alone = kind(3, (2, 2), init=normal), kind(3, 4, init=normal)
    hook.initialise(Streams(3, [5, 7, 5]), np.float32, index=2)
    alone.initialise(Streams(3, [7]), np.float32, index=2)
    assert hook.b.value.shape == (3, 3, 4)
    assert hook.b.value.dtype == np.float32
    np.testing.assert_array_equal(hook.b.value[1], alone.b.value[0])
    np.testing.assert_array_equal(hook.b.value[0], hook.b.value[2])
    assert (hook.b.value[0] != hook.b.value[1]).all()
    hook.b.value[0] = 0
    assert hook.b.value[2].any()  # of one run, but no shared memory
    alone.initialise(Streams(3, [7]), np.float32, index=3)
    assert (hook.b.value[1] != alone.b.value[0].reshape(3, 4)).all()


# Wrong use


@pytest.mark.parametrize(("low", "high"), [(1, 0), (0, 0), (float("nan"), 1), (0, float("inf"))])
def test_a_uniform_law_without_an_interval_is_refused(low, high):
    with pytest.raises(ValueError, match=r"expected finite ends, low below high, got Uniform\("):
        Uniform(low, high)


@EACH
def test_wrong_use_gets_a_sentence(kind):
    name = kind.__name__
    for wrong in ((0, 4), (3, 0), (3, ()), (3, (2, 0))):
        with pytest.raises(
            ValueError, match="expected outputs and a shape of at least 1 each, got"
        ):
            kind(*wrong)
    with pytest.raises(
        ValueError, match=rf"expected an initialised {name}\(2, \(4,\)\), got one without B; call"
    ):
        kind(2, 4).parameters()
    hook = whole(kind(2, 4))
    with pytest.raises(
        ValueError, match=rf"{name}.*: expected activations \[R, M, 4\], got \(2, 3, 5\)"
    ):
        hook.forward(np.ones((2, 3, 5)))
    with pytest.raises(
        ValueError, match=r"expected activations \[R, M, 3, 3, 2\], got \(1, 3, 4, 4, 2\)"
    ):
        kind(2, (3, 3, 2)).forward(np.ones((1, 3, 4, 4, 2)))
    with pytest.raises(
        ValueError, match=r"expected activations \[R, M, 3, 3, 2\], got \(1, 4, 2, 3, 3\)"
    ):
        kind(2, (3, 3, 2)).forward(np.ones((1, 4, 2, 3, 3)))  # as many, in another order
    if not kind.trained:
        with pytest.raises(
            ValueError,
            match=f"expected initial values of B other than zeros, got zeros; {name} never",
        ):
            kind(2, 4, init=zeros)
    hook.forward(np.ones((2, 3, 4)))
    with pytest.raises(
        ValueError, match="expected a step with its loss, got none; run it by backprop"
    ):
        hook.backward(None, TRAINING)
    with pytest.raises(
        ValueError, match=r"expected an error at 2 outputs, got 5; give the network's number"
    ):
        hook.backward(None, Step(loss=Given(np.ones((2, 3, 5)), np.ones((2, 3, 5)))))
