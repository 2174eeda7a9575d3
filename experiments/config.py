"""What one configuration is: the "config" entry of a result file, its defaults, and what it is called on disk."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from aopnp import AOP, SGD, Exact
from aopnp.estimators import Estimator, side_by_side
from aopnp.estimators.memories import MEMORIES, Memory
from aopnp.estimators.policies import PAPER_POLICIES, POLICIES
from aopnp.training import Rule, backprop
from experiments.configuration import off_defaults


class UsageError(ValueError):
    """Wrong use of a command; its message is a sentence for standard error, and the exit code is 2."""


@dataclass(frozen=True)
class Config:
    """One configuration of an experiment. Field order is the order of --help and of the suffixes of a file name."""

    experiment: str
    dataset: str
    policy: str
    memory: str
    capacity: int | None
    k: int | None
    batch_size: int
    epochs: int
    runs: int
    lr: float
    decay: float = 1.0
    momentum: float = 0.0
    nesterov: bool = False
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"

    def estimator(self) -> Estimator:
        """Return the weight-gradient estimator that this configuration names."""
        if self.policy == "exact":
            return Exact()
        return AOP(POLICIES[self.policy], self.k or 0, self._memory())

    def _memory(self) -> Memory:
        knobs: dict[str, Any] = {} if self.memory == "none" else {"decay": self.decay}
        if self.memory == "queue":
            knobs["capacity"] = self.capacity
        return MEMORIES[self.memory](**knobs)

    def estimators(self, stacked: Sequence["Config"]) -> Estimator:
        """Return the estimator that answers for several configurations side by side."""
        return side_by_side([config.estimator() for config in stacked])

    def stack(self, run: int) -> Hashable:
        """Return what a stack shares: the minibatches and step sizes, on a device those of all runs."""
        shared = replace(self, policy="", memory="", k=None, capacity=None, decay=1.0, runs=1)
        return shared, run if self.device == "cpu" else None

    def optimiser(self, steps: int = 1) -> SGD:
        """Return the optimiser that this configuration names, whatever the number of steps."""
        return SGD(self.lr, self.momentum, nesterov=self.nesterov)

    def learning_rule(self, steps: int = 1) -> Rule:
        """Return what fills the gradients: back-propagation."""
        return backprop

    def check(self) -> None:
        """Raise UsageError with a sentence where the values cannot be trained with."""
        smallest = {"runs": 1, "epochs": 1, "batch_size": 1, "seed": 0}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise UsageError(
                    f"expected --{name.replace('_', '-')} of at least {least}, got {getattr(self, name)}"
                )
        if self.policy != "exact" and not 1 <= (self.k or 0) <= self.batch_size:
            raise UsageError(
                f"expected 1 <= K <= M = {self.batch_size}, got --k {self.k}; lower it or raise --batch-size"
            )
        try:
            self.estimator()
            self.optimiser()
        except ValueError as error:
            raise UsageError(str(error)) from error

    def stem(self) -> str:
        """Return the file name without ending: policy, memory and K, then all that is off the defaults."""
        parts = ["exact"] if self.policy == "exact" else [self.policy, self.memory, f"k{self.k}"]
        if self.memory == "queue" and self.capacity != self.batch_size:
            parts.append(f"capacity{self.capacity}")
        names = [field.name for field in fields(self)]
        return "-".join(
            parts + off_defaults(self, DEFAULTS[self.dataset], names[names.index("batch_size") :])
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the "config" entry of the result file; capacity, which few have, comes last."""
        entries = asdict(self)
        return entries | {"capacity": entries.pop("capacity")}


def configuration(
    dataset: str, policy: str | None = None, memory: str | None = None, **changes: Any
) -> Config:
    """Return the default configuration of `dataset` with another policy and memory, and `changes` applied.

    The exact gradient has neither K nor memory; a queue holds a batch unless a capacity is given.
    """
    default = DEFAULTS[dataset]
    config = replace(
        default, policy=policy or default.policy, memory=memory or default.memory, **changes
    )
    if config.policy == "exact":
        return replace(config, memory="none", k=None)
    if config.memory == "queue" and config.capacity is None:
        return replace(config, capacity=config.batch_size)
    return config


def seven(dataset: str, k: int, **changes: Any) -> list[Config]:
    """Return the seven curves of a figure: exact, then each policy without and with row memory.

    Like estimators stand together, so that a lock-step program stacks them.
    """
    schemes = [("exact", "none")] + [
        (policy, memory) for memory in ("none", "row") for policy in PAPER_POLICIES
    ]
    return [configuration(dataset, policy, memory, k=k, **changes) for policy, memory in schemes]


def _images(dataset: str) -> Config:
    return Config(
        "mnist", dataset, "topk", "row", None, k=8, batch_size=64, epochs=30, runs=10, lr=0.01
    )


DEFAULTS = {
    "energy": Config(
        "energy", "energy", "topk", "row", None, k=9, batch_size=144, epochs=100, runs=10, lr=0.01
    ),
    "mnist": _images("mnist"),
    "fashion_mnist": _images("fashion_mnist"),
    "kmnist": _images("kmnist"),
    "digits": Config(
        "quickstart", "digits", "topk", "row", None, k=8, batch_size=64, epochs=40, runs=5, lr=0.05
    ),
}
"""The paper's values (arXiv 2110.09164, section 4), and the quickstart's."""
