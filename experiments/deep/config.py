"""What one configuration of a deep experiment is: its scheme (policy, memory, ratio, products), then its settings."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aopnp import AOP
from aopnp.estimators import Estimator, Watched
from aopnp.estimators.memories import MEMORIES
from aopnp.estimators.policies import POLICIES
from aopnp.estimators.term_counts import Ratio
from aopnp.optim import Optimiser
from aopnp.training import Rule, backprop
from experiments.config import UsageError
from experiments.configuration import off_defaults
from experiments.deep.networks import Products
from experiments.deep.problems import DEEP, OPTIMISERS
from experiments.named import Named

SEAMS = {"weight": "estimator", "input": "input_gradient", "forward": "forward"}
"""What --where calls the three products of a layer -> what a layer calls their estimators."""


@dataclass(frozen=True)
class Deep(Named):
    """One configuration. Field order is the order of --help and of the suffixes of a file name."""

    SETTINGS = ("batch_size", "epochs", "runs", "lr", "seed", "dtype", "device")

    policy: str = "exact"
    memory: str = "none"
    ratio: float | None = None
    minimal_k: int | None = None
    where: str = ""
    watch: bool = False
    batch_size: int = 64
    epochs: int = 1
    runs: int = 1
    lr: float = 0.01
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def products(self) -> list[str]:
        """The products that are estimated, as --where calls them."""
        return self.where.split(",") if self.where else []

    def estimators(self, stacked: Sequence["Deep"]) -> Products:
        """Return who answers for the products; convolutions of several configurations would share nothing."""
        return Products(**{SEAMS[name]: self._estimator(name) for name in self.products})

    def _estimator(self, product: str) -> Estimator:
        size = Ratio(self.ratio or 0.0, self.minimal_k or 1)
        remembers = product == "weight" and self.memory != "none"
        estimator = AOP(
            POLICIES[self.policy], size, MEMORIES[self.memory if remembers else "none"]()
        )
        return Watched(estimator) if self.watch and product == "weight" else estimator

    def optimiser(self, steps: int) -> Optimiser:
        """Return the experiment's optimiser for so many steps."""
        return OPTIMISERS[self.experiment](self.lr, steps)

    def learning_rule(self, steps: int) -> Rule:
        """Return what fills the gradients: back-propagation."""
        return backprop

    def stack(self, run: int) -> Hashable:
        """Return what no other configuration and no other run has: each is trained by itself."""
        return self, run

    def check(self) -> None:
        """Raise UsageError with a sentence where the values cannot be trained with."""
        self.at_least(runs=1, epochs=1, batch_size=1, seed=0)
        if self.policy != "exact":
            self.at_least(minimal_k=1)
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise UsageError(
                f"expected --ratio above 0 and up to 1, which keeps everything, got {self.ratio}"
            )
        if "weight" not in self.products and (self.memory != "none" or self.watch):
            got = "--watch" if self.watch else f"--memory {self.memory}"
            raise UsageError(
                f"expected weight in --where {self.where} with {got}, got none; add it or leave {got} out"
            )
        try:
            DEEP[self.experiment].network(self.estimators([self]))
            self.optimiser(1)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def scheme(self) -> str:
        """Return the part of the file name that tells the configurations of one figure apart."""
        if self.policy == "exact":
            return "exact"
        parts = [self.policy, self.memory, f"ratio{str(self.ratio).removesuffix('.0')}"]
        return "-".join(parts + off_defaults(self, self.default(), ("minimal_k", "where", "watch")))

    def default(self) -> "Deep":
        """Return the configuration of this scheme as it is trained unless options say otherwise."""
        return DEFAULTS[self.experiment]


def in_order(where: str) -> str:
    """Return the products that `where` names, each once and in the order of SEAMS; UsageError for other names."""
    named = where.split(",")
    if unknown := [name for name in named if name not in SEAMS]:
        raise UsageError(
            f"expected products among {', '.join(SEAMS)} in --where, got {', '.join(map(repr, unknown))}; "
            "separate several by commas"
        )
    return ",".join(name for name in SEAMS if name in named)


def estimated(default: Deep, policy: str, memory: str = "none", **changes: Any) -> Deep:
    """Return `default` with its products estimated, and `changes` applied."""
    return replace(default, policy=policy, memory=memory, **changes)


def exact(default: Deep) -> Deep:
    """Return `default` with nothing estimated, and so nothing to watch."""
    return replace(
        default, policy="exact", memory="none", ratio=None, minimal_k=None, where="", watch=False
    )


def usual(default: Deep) -> list[Deep]:
    """Return what a command trains: exact, the best unbiased policy, topk without and with memory.

    Of cnn also topk on the forward product, which is what was published.
    """
    schemes = [exact(default), estimated(default, "bernoulli"), estimated(default, "topk")]
    if "weight" in default.products:
        schemes.append(estimated(default, "topk", "row"))
    if default.experiment.startswith("cnn"):
        schemes.append(estimated(default, "topk", where="forward", watch=False))
    return list(dict.fromkeys(schemes))


def every_policy(default: Deep) -> list[Deep]:
    """Return the usual configurations and one of each further policy."""
    return list(
        dict.fromkeys([*usual(default), *(estimated(default, policy) for policy in POLICIES)])
    )


def _default(
    experiment: str, batch_size: int, epochs: int, runs: int, lr: float, minimal_k: int
) -> Deep:
    return Deep(
        experiment,
        "topk",
        "none",
        0.5,
        minimal_k,
        "weight",
        batch_size=batch_size,
        epochs=epochs,
        runs=runs,
        lr=lr,
    )


DEFAULTS = {
    default.experiment: default
    for default in (
        #         name          batch  epochs  runs   lr   minimal k
        _default("mlp",            50,     20,    5, 0.001, 10),
        _default("cnn",            64,      2,    2, 0.1,    1),
        _default("cifar",         128,      4,    2, 0.1,   10),
        _default("mlp-full",       50,     20,    5, 0.001, 10),
        _default("cnn-full",       64,     20,    5, 0.01,   1),
        _default("cifar-full",    256,    200,    3, 0.15,  10),
    )
}  # fmt: skip
"""The published values; but within 20 minutes on two cores, cnn takes fewer and larger steps, and cifar is small."""
