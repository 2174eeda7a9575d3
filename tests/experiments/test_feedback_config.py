"""What a configuration of a feedback experiment is called, how it is trained, and what is refused."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from aopnp import AOP, SGD, Adam, Dense, Exact, RowMemory, topk
from aopnp.estimators.term_counts import Ratio
from aopnp.nn.feedback import (
    DFA,
    DKP,
    DRTP,
    FDFA,
    Hook,
    KolenPollack,
    RandomFeedback,
    SignSymmetric,
    Transpose,
    Uniform,
    WeightMirror,
    kaiming_uniform,
    normal,
    zeros,
)
from aopnp.optim import ParameterGroups
from aopnp.training import Backprop, MeasureAlignment, learn_jacobians
from experiments.config import UsageError
from experiments.feedback.config import (
    APPROXIMATE,
    SETUPS,
    SIZES,
    FeedbackConfig,
    combined,
    default,
    usual,
)
from experiments.feedback.problems import FEEDBACK
from experiments.feedback.rules import RULES
from experiments.results import result_path, run_path

MNIST, CIFAR, ALEXNET = "feedback-mnist", "feedback-cifar", "feedback-alexnet"
SCHEMES = ["bp", "fa", "sign", "kp", "wm", "dfa", "dkp", "fdfa", "drtp", "shallow", "dfa-tiny"]


def changed(rule: str = "dkp", experiment: str = MNIST, **changes: Any) -> FeedbackConfig:
    return replace(default(experiment, rule), **changes)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (changed("bp"), "feedback-mnist/bp"),
        (changed("dfa", b_init="tiny"), "feedback-mnist/dfa-tiny"),
        (changed("dkp", CIFAR, b_init="normal", lr=0.01), "feedback-cifar/dkp-normal-lr0.01"),
        (changed("drtp", lr=0.001), "feedback-mnist/drtp-lr0.001"),
        (changed("fa", **APPROXIMATE), "feedback-mnist/fa-topk-row-ratio0.125"),
        (
            changed("dkp", b_init="zeros", epochs=2, **APPROXIMATE),
            "feedback-mnist/dkp-zeros-topk-row-ratio0.125-epochs2",
        ),
        (
            changed("dkp", ALEXNET + "-full", runs=1, device="gpu"),
            "feedback-alexnet-full/dkp-runs1-devicegpu",
        ),
    ],
)
def test_a_file_is_named_by_scheme_and_what_is_off_the_defaults(
    config: FeedbackConfig, name: str
) -> None:
    assert result_path(Path("out"), config).as_posix() == f"out/{name}.json"
    assert (
        run_path(Path("out"), config, 1).as_posix()
        == f"out/{name.replace('/', '/.runs/', 1)}-run1.json"
    )
    assert config.stem() == config.scheme() + config.settings()


CHANGES: dict[str, Any] = {
    "rule": "fdfa", "b_init": "kaiming", "policy": "randk", "memory": "none", "ratio": 0.25, "batch_size": 7,
    "epochs": 7, "runs": 7, "lr": 7.0, "seed": 7, "dtype": "float64", "device": "gpu",
}  # fmt: skip


def test_whatever_differs_shows_in_the_name() -> None:
    assert [*CHANGES] == [field.name for field in fields(FeedbackConfig)][1:]
    base = changed(**APPROXIMATE)
    names = {replace(base, **{name: value}).stem() for name, value in CHANGES.items()}
    assert len(names | {base.stem()}) == len(CHANGES) + 1
    for experiment in SIZES:
        everything = [*usual(experiment), *combined(experiment, APPROXIMATE)]
        assert len({config.stem() for config in everything}) == len(set(everything)) == 14


def test_every_experiment_has_a_problem_and_defaults_that_can_be_trained() -> None:
    assert (
        set(SIZES)
        == set(FEEDBACK)
        == {f"feedback-{data}{full}" for data in SETUPS for full in ("", "-full")}
    )
    for experiment in SIZES:
        configs = usual(experiment)
        assert [config.scheme() for config in configs] == SCHEMES
        for config in [*configs, *combined(experiment, APPROXIMATE)]:
            assert (config.experiment, config.dataset, config.settings()) == (
                experiment,
                experiment,
                "",
            )
            config.check()


def test_the_combination_study() -> None:
    study = combined(CIFAR, {**APPROXIMATE, "ratio": 0.5}, seed=1)
    rules = ["bp", "dfa", "dkp"]
    assert [c.scheme() for c in study] == [
        name for r in rules for name in (r, f"{r}-topk-row-ratio0.5")
    ]
    assert {c.seed for c in study} == {1}


def test_published_values_are_the_defaults() -> None:
    """Spec 2.3: batch, epochs, step size; 2.4 for MNIST."""
    values = {name: (c.batch_size, c.epochs, c.lr) for name in SIZES if (c := default(name, "dfa"))}
    assert values == {
        "feedback-mnist": (128, 8, 1e-3), "feedback-mnist-full": (128, 100, 1e-3),
        "feedback-cifar": (50, 8, 5e-4), "feedback-cifar-full": (50, 100, 5e-4),
        "feedback-alexnet": (256, 8, 0.1), "feedback-alexnet-full": (256, 90, 0.1),
    }  # fmt: skip
    inits = {
        (data, rule): default(f"feedback-{data}", rule).b_init
        for data in SETUPS
        for rule in ("dfa", "dkp")
    }
    assert inits == {
        ("mnist", "dfa"): "normal", ("mnist", "dkp"): "normal", ("cifar", "dfa"): "kaiming",
        ("cifar", "dkp"): "kaiming", ("alexnet", "dfa"): "kaiming", ("alexnet", "dkp"): "zeros",
    }  # fmt: skip
    assert {default(name, "fdfa").b_init for name in SIZES} == {"zeros"}
    assert {
        default(name, rule).b_init
        for name in SIZES
        for rule in ("bp", "fa", "sign", "kp", "wm", "shallow")
    } == {None}


def test_the_optimisers_of_the_two_convolutions_are_the_published_ones() -> None:
    steps = 8 * 320
    network = changed("bp", CIFAR).optimiser(steps)
    assert isinstance(network, SGD)
    assert (network.momentum, network.nesterov, network.weight_decay, network.decoupled) == (
        0.9,
        True,
        1e-6,
        False,
    )
    assert {network.lr(step)[0] for step in range(0, steps, 320)} == {5e-4}
    apart = changed("dkp", CIFAR).optimiser(steps)
    assert isinstance(apart, ParameterGroups)
    assert isinstance(apart.feedback, Adam)
    assert (apart.feedback.weight_decay, apart.feedback.decoupled) == (1e-6, False)
    assert [apart.group_lr(s)["feedback"][0] for s in (0, 319, 320, 640)] == pytest.approx(
        [1e-4, 1e-4, 0.8e-4, 0.64e-4]
    )
    assert apart.lr(steps)[0] == 5e-4


def test_step_sizes_on_mnist_fall_as_much_in_any_number_of_epochs() -> None:
    for rule, factor, first in (("bp", 0.7, 1e-3), ("drtp", 0.75, 0.1)):
        for epochs in (8, 100):
            optimiser = changed(rule, epochs=epochs).optimiser(468 * epochs)
            assert [optimiser.lr(s)[0] for s in (0, 467)] == [first, first]
            assert optimiser.lr(468 * epochs)[0] == pytest.approx(first * factor**8)
        assert changed(rule).optimiser(468 * 8).lr(468)[0] == pytest.approx(first * factor)
    for rule in RULES:
        for steps in range(1, 9):  # a training of a few steps only
            changed(rule).optimiser(steps).lr(steps)


@pytest.mark.parametrize("data", SETUPS)
def test_the_feedback_path_is_moved_as_its_rule_wants(data: str) -> None:
    for rule in RULES:
        optimiser = changed(rule, f"feedback-{data}").optimiser(80)
        assert isinstance(optimiser, ParameterGroups) == (rule in ("dkp", "fdfa")), rule
    kolen_pollack = changed("kp", f"feedback-{data}").optimiser(80)
    assert kolen_pollack.weight_decay > 0
    assert getattr(kolen_pollack, "decoupled") is True  # noqa: B009
    fdfa = changed("fdfa", f"feedback-{data}").optimiser(80)
    assert isinstance(fdfa, ParameterGroups)
    assert fdfa.feedback.weight_decay == 0


@pytest.mark.parametrize("experiment", [MNIST, CIFAR, ALEXNET])
def test_every_rule_is_the_same_network_with_other_parts(experiment: str) -> None:
    kinds: dict[str, Any] = {
        "dfa": DFA, "dkp": DKP, "fdfa": FDFA, "drtp": DRTP, "fa": RandomFeedback(), "sign": SignSymmetric(),
        "kp": KolenPollack(), "wm": WeightMirror(0.1, 0.1, every=10),
    }  # fmt: skip
    seen = []
    for rule in RULES:
        config = changed(rule, experiment)
        layers = [*FEEDBACK[experiment].network(config.estimators([config])).walk()]
        hooks = [layer for layer in layers if isinstance(layer, Hook)]
        lowest, *dense = [layer for layer in layers if isinstance(layer, Dense)]
        assert {type(hook) for hook in hooks} == {
            kinds[rule] if rule in ("dfa", "dkp", "fdfa", "drtp") else Hook
        }
        assert lowest.feedback == Transpose()
        assert {layer.feedback for layer in dense} == {
            kinds[rule] if rule in ("fa", "sign", "kp", "wm") else Transpose()
        }
        assert len(hooks) == len(dense)
        seen.append(
            [None if isinstance(layer, Hook) else repr(layer).split(" at ")[0] for layer in layers]
        )
    assert all(layers == seen[0] for layers in seen)


def test_initial_values_of_b_are_the_named_ones() -> None:
    names = {"normal": normal, "kaiming": kaiming_uniform, "zeros": zeros, "tiny": Uniform(0, 1e-6)}
    for name, init in names.items():
        hook = changed("dkp", b_init=name).estimators([]).hook(7)
        assert isinstance(hook, DKP)
        assert (hook.init, hook.outputs, hook.shape) == (init, 10, (7,))


@pytest.mark.parametrize("experiment", [MNIST, CIFAR, ALEXNET])
def test_hidden_layers_and_dkps_own_gradient_are_approximate_the_output_layer_is_not(
    experiment: str,
) -> None:
    kept = AOP(topk, Ratio(0.125), RowMemory())
    for rule in ("bp", "fa", "dfa", "dkp"):
        config = changed(rule, experiment, **APPROXIMATE)
        layers = [*FEEDBACK[experiment].network(config.estimators([config])).walk()]
        *hidden, last = [layer for layer in layers if isinstance(layer, Dense)]
        assert [layer.weight_product.estimator for layer in hidden] == [kept] * len(hidden)
        assert last.weight_product.estimator == Exact()
        own = [layer.product.estimator for layer in layers if isinstance(layer, DKP)]
        assert own == [kept] * (len(hidden) if rule == "dkp" else 0)


def test_angles_are_measured_in_every_epoch_and_only_fdfa_sends_tangents() -> None:
    for rule in RULES:
        for steps, every in ((8 * 468, 100), (8 * 3, 3), (8, 1), (3, 1)):
            filler = changed(rule).learning_rule(steps)
            assert isinstance(filler, Backprop)
            tangents = (learn_jacobians,) if rule == "fdfa" else ()
            assert filler.between == (*tangents, MeasureAlignment(every))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ratio": 0.0}, "expected --ratio above 0 and up to 1, which keeps everything, got 0.0"),
        ({"ratio": 1.5}, "expected --ratio above 0 and up to 1, which keeps everything, got 1.5"),
        (
            {"ratio": float("nan")},
            "expected --ratio above 0 and up to 1, which keeps everything, got nan",
        ),
        ({"runs": 0}, "expected --runs of at least 1, got 0"),
        ({"epochs": 0}, "expected --epochs of at least 1, got 0"),
        ({"batch_size": 1}, "expected --batch-size of at least 2, got 1"),
        ({"seed": -1}, "expected --seed of at least 0, got -1"),
        ({"lr": 0.0}, "expected finite step sizes > 0, got lr = 0.0"),
        (
            {"rule": "dfa", "b_init": "zeros"},
            "expected a B that is not zero with --rule dfa, which never changes it",
        ),
        (
            {"rule": "drtp", "b_init": "zeros"},
            "expected a B that is not zero with --rule drtp, which never changes",
        ),
        ({"policy": "bernoulli"}, "expected no memory beside "),
    ],
)
def test_what_cannot_be_trained_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        changed(**{**APPROXIMATE, **changes}).check()
    assert str(caught.value).startswith(sentence)


def test_a_residual_memory_does_not_fit_a_convolution_that_samples_examples() -> None:
    changed("dfa", **{**APPROXIMATE, "memory": "residual"}).check()
    with pytest.raises(UsageError, match="an example is the unit"):
        changed("dfa", CIFAR, **{**APPROXIMATE, "memory": "residual"}).check()


def test_on_a_device_all_runs_are_one_stack() -> None:
    config = default(MNIST, "dfa")
    assert len({each.stack(run) for each in usual(MNIST) for run in range(3)}) == 33
    on_gpu = replace(config, device="gpu")
    assert len({on_gpu.stack(run) for run in range(3)}) == 1
