"""What one configuration of a feedback experiment is: its scheme (rule, B, estimator), then its settings."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from aopnp import AOP, Exact
from aopnp.estimators import Estimator
from aopnp.estimators.memories import MEMORIES
from aopnp.estimators.policies import POLICIES
from aopnp.estimators.term_counts import Ratio
from aopnp.nn.feedback import DIRECT
from aopnp.optim import Optimiser
from aopnp.training import Rule
from experiments.config import UsageError
from experiments.feedback import optimisers
from experiments.feedback.networks import Parts
from experiments.feedback.optimisers import Recipe
from experiments.feedback.problems import FEEDBACK
from experiments.feedback.rules import RULES, learning_rule, parts
from experiments.named import Named

APPROXIMATE: Mapping[str, Any] = {"policy": "topk", "memory": "row", "ratio": 0.125}
"""What the combination study puts in the place of exact weight gradients."""


@dataclass(frozen=True)
class FeedbackConfig(Named):
    """One configuration. Field order is the order of --help and of the suffixes of a file name."""

    SETTINGS = ("batch_size", "epochs", "runs", "lr", "seed", "dtype", "device")

    rule: str
    b_init: str | None
    policy: str
    memory: str
    ratio: float | None
    batch_size: int
    epochs: int
    runs: int
    lr: float
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"

    def estimators(self, stacked: Sequence["FeedbackConfig"]) -> Parts:
        """Return what the rule puts into the network: all in a stack have the same."""
        return parts(self.rule, self.b_init, self._estimator())

    def _estimator(self) -> Estimator:
        if self.policy == "exact":
            return Exact()
        return AOP(POLICIES[self.policy], Ratio(self.ratio or 0.0), MEMORIES[self.memory]())

    def optimiser(self, steps: int) -> Optimiser:
        """Return the optimiser for so many steps in all epochs."""
        return _setup(self.experiment).optimiser(
            self.rule, self.lr, max(1, steps // self.epochs), self.epochs
        )

    def learning_rule(self, steps: int) -> Rule:
        """Return what fills the gradients; angles are measured in every epoch."""
        return learning_rule(self.rule, max(1, steps // self.epochs))

    def stack(self, run: int) -> Hashable:
        """Return what a stack shares: nothing, but on a device the runs of one configuration are trained at once."""
        return self, run if self.device == "cpu" else None

    def check(self) -> None:
        """Raise UsageError with a sentence where the values cannot be trained with."""
        self.at_least(runs=1, epochs=1, batch_size=2, seed=0)
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise UsageError(
                f"expected --ratio above 0 and up to 1, which keeps everything, got {self.ratio}"
            )
        if self.b_init == "zeros" and self.rule in ("dfa", "drtp"):
            raise UsageError(
                f"expected a B that is not zero with --rule {self.rule}, which never changes it, got --b-init zeros; "
                "choose another"
            )
        try:
            FEEDBACK[self.experiment].network(self.estimators([self]))
            self.optimiser(1)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def scheme(self) -> str:
        """Return the part of the file name that tells the configurations of one figure apart."""
        words = [self.rule]
        if self.b_init != self.default().b_init:
            words.append(str(self.b_init))
        if self.policy != "exact":
            words += [self.policy, self.memory, f"ratio{str(self.ratio).removesuffix('.0')}"]
        return "-".join(words)

    def default(self) -> "FeedbackConfig":
        """Return the configuration of this scheme as it is trained unless options say otherwise."""
        return default(self.experiment, self.rule)


class Setup(NamedTuple):
    """What the configurations on one network have in common."""

    optimiser: Recipe
    lr: float
    b_init: str
    others: Mapping[str, Mapping[str, Any]]
    """Rule -> where it has other values."""


SETUPS = {
    "mnist": Setup(
        optimisers.mlp, 1e-3, "normal", {"drtp": {"lr": 0.1}, "fdfa": {"b_init": "zeros"}}
    ),
    "cifar": Setup(optimisers.two_convolutions, 5e-4, "kaiming", {"fdfa": {"b_init": "zeros"}}),
    "alexnet": Setup(
        optimisers.alexnet, 0.1, "kaiming", {rule: {"b_init": "zeros"} for rule in ("dkp", "fdfa")}
    ),
}
"""Step sizes and initial values of B: of cifar and alexnet as published, but for DFA on alexnet (see dfa-tiny)."""

SIZES = {
    #                         batch  epochs  runs
    "feedback-mnist":         (128,      8,    3),
    "feedback-mnist-full":    (128,    100,    5),
    "feedback-cifar":          (50,      8,    1),
    "feedback-cifar-full":     (50,    100,    5),
    "feedback-alexnet":       (256,      8,    1),
    "feedback-alexnet-full":  (256,     90,    5),
}  # fmt: skip


def _setup(experiment: str) -> Setup:
    return SETUPS[experiment.removeprefix("feedback-").removesuffix("-full")]


def default(experiment: str, rule: str) -> FeedbackConfig:
    """Return the configuration of `rule` as it is trained unless options say otherwise."""
    setup, (batch_size, epochs, runs) = _setup(experiment), SIZES[experiment]
    b_init = setup.b_init if rule in DIRECT else None
    config = FeedbackConfig(
        experiment, rule, b_init, "exact", "none", None, batch_size, epochs, runs, setup.lr
    )
    return replace(config, **setup.others.get(rule, {}))


def usual(experiment: str, **changes: Any) -> list[FeedbackConfig]:
    """Return what the command trains: every rule, and DFA as it was published on AlexNet."""
    configs = [default(experiment, rule) for rule in RULES]
    tiny = replace(default(experiment, "dfa"), b_init="tiny")
    return [replace(config, **changes) for config in (*configs, tiny)]


def combined(
    experiment: str, approximate: Mapping[str, Any], **changes: Any
) -> list[FeedbackConfig]:
    """Return the combination study: three rules, each with exact and with approximate weight gradients."""
    configs = [replace(default(experiment, rule), **changes) for rule in ("bp", "dfa", "dkp")]
    return [replace(config, **values) for config in configs for values in ({}, approximate)]
