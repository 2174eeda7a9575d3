"""What one configuration of a binary experiment is: its scheme (soft weights, optimiser, rule), then its settings."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aopnp.nn import Initialiser, XavierUniform, uniform_latent
from aopnp.optim import Optimiser
from aopnp.training import Rule
from experiments.binary.flips import CountFlips
from experiments.binary.networks import Parts
from experiments.binary.problems import BINARY
from experiments.binary.soft import STORAGES, optimiser
from experiments.config import UsageError
from experiments.configuration import off_defaults
from experiments.forward.rules import BACKPROP, check_room, learning_rule
from experiments.named import Named

INITS: dict[str, Initialiser] = {"uniform": uniform_latent, "glorot": XavierUniform()}
"""Initial soft weights: uniform in -1..1, or as Glorot and Bengio (2010) have real weights."""


@dataclass(frozen=True)
class BinaryConfig(Named):
    """One configuration. Field order is the order of --help and of the suffixes of a file name."""

    SETTINGS = ("width", "batch_size", "epochs", "runs", "seed", "dtype", "device")

    soft: str
    update: str
    lr: float
    init: str
    strategy: str
    num_dir: int | None
    clip: float | None
    width: int
    batch_size: int
    epochs: int
    runs: int
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"

    def estimators(self, stacked: Sequence["BinaryConfig"]) -> Parts:
        """Return what the network is made with: all in a stack have the same."""
        return Parts(self.width, STORAGES[self.soft], INITS[self.init])

    def optimiser(self, steps: int) -> Optimiser:
        """Return the optimiser, whatever the number of steps."""
        return optimiser(self.soft, self.update, self.lr)

    def learning_rule(self, steps: int) -> Rule:
        """Return what fills the gradients."""
        return CountFlips(learning_rule(self.strategy, self.num_dir, self.clip))

    def stack(self, run: int) -> Hashable:
        """Return what a stack shares: nothing, but on a device the runs of one configuration are trained at once."""
        return self, run if self.device == "cpu" else None

    def may_diverge(self) -> bool:
        """Return whether a divergence is what the configuration is there to show."""
        return self.strategy != BACKPROP and self.clip is None

    def check(self) -> None:
        """Raise UsageError with a sentence where the values cannot be trained with."""
        self.at_least(runs=1, epochs=1, batch_size=2, width=1, seed=0)
        try:
            network = BINARY[self.experiment].network(self.estimators([self]))
            check_room(network, self.num_dir or 0, [self.strategy])
            self.optimiser(1)
            self.learning_rule(1)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def scheme(self) -> str:
        """Return the part of the file name that tells the configurations of one figure apart."""
        parts = [self.soft, self.update, *([] if self.strategy == BACKPROP else [self.strategy])]
        names = ("lr", "init", "num_dir", "clip")
        return "-".join(parts + off_defaults(self, self.default(), names))

    def default(self) -> "BinaryConfig":
        """Return the configuration of this scheme as it is trained unless options say otherwise."""
        return default(self.experiment, self.soft, self.update, self.strategy)


class Setup(NamedTuple):
    """What the configurations of an experiment have in common."""

    width: int
    batch_size: int
    epochs: int
    runs: int


SETUPS = {
    #                      width batch epochs runs
    "binary":        Setup(  16,   50,     2,   1),
    "binary-mlp":    Setup( 256,   50,     3,   1),
    "binary-bvgg16": Setup(  64,   50,    50,   1),
}  # fmt: skip
LR = {"sgd": 0.1, "adam": 5e-3}
NUM_DIR = 10


def default(
    experiment: str, soft: str, update: str = "sgd", strategy: str = BACKPROP
) -> BinaryConfig:
    """Return a configuration as it is trained unless options say otherwise."""
    num_dir, clip = (None, None) if strategy == BACKPROP else (NUM_DIR, 1.0)
    return BinaryConfig(
        experiment,
        soft,
        update,
        LR[update],
        "uniform",
        strategy,
        num_dir,
        clip,
        *SETUPS[experiment],
    )
