"""What one configuration of a forward-gradient experiment is: its scheme (directions, optimiser), then its settings."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aopnp.optim import Optimiser, StepDecay
from aopnp.training import Rule
from experiments.config import UsageError
from experiments.configuration import off_defaults
from experiments.forward.optimisers import OPTIMISERS
from experiments.forward.problems import FORWARD
from experiments.forward.rules import BACKPROP, check_room, learning_rule
from experiments.named import Named


@dataclass(frozen=True)
class ForwardConfig(Named):
    """One configuration. Field order is the order of --help and of the suffixes of a file name."""

    SETTINGS = ("width", "batch_size", "epochs", "runs", "seed", "dtype", "device")

    strategy: str
    num_dir: int | None
    clip: float | None
    update: str
    lr: float
    decay: float
    width: int
    batch_size: int
    epochs: int
    runs: int
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"

    def estimators(self, stacked: Sequence["ForwardConfig"]) -> int:
        """Return what the network is made with: its width."""
        return self.width

    def optimiser(self, steps: int) -> Optimiser:
        """Return the optimiser for so many steps in all epochs."""
        return OPTIMISERS[self.update](self.lr, StepDecay(max(1, steps // self.epochs), self.decay))

    def learning_rule(self, steps: int) -> Rule:
        """Return what fills the gradients."""
        return learning_rule(self.strategy, self.num_dir, self.clip)

    def stack(self, run: int) -> Hashable:
        """Return what a stack shares: nothing, but on a device the runs of one configuration are trained at once."""
        return self, run if self.device == "cpu" else None

    def may_diverge(self) -> bool:
        """Return whether a divergence is what the configuration is there to show."""
        return self.strategy != BACKPROP and self.clip is None

    def check(self) -> None:
        """Raise UsageError with a sentence where the values cannot be trained with."""
        self.at_least(runs=1, epochs=1, batch_size=1, width=1, seed=0)
        if not 0 < self.decay <= 1:
            raise UsageError(
                f"expected --decay above 0 and up to 1, which keeps the step size, got {self.decay}"
            )
        try:
            network = FORWARD[self.experiment].network(self.estimators([self]))
            check_room(network, self.num_dir or 0, [self.strategy])
            self.optimiser(1)
            self.learning_rule(1)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def scheme(self) -> str:
        """Return the part of the file name that tells the configurations of one figure apart."""
        names = ("num_dir", "clip", "update", "lr", "decay")
        return "-".join([self.strategy, *off_defaults(self, self.default(), names)])

    def default(self) -> "ForwardConfig":
        """Return the configuration of this scheme as it is trained unless options say otherwise."""
        return default(self.experiment, self.strategy)


class Setup(NamedTuple):
    """What the configurations of an experiment have in common."""

    width: int
    batch_size: int
    epochs: int
    runs: int
    lr: float
    backprop_lr: float
    decay: float


SETUPS = {
    #                      width batch epochs runs    lr   of backprop decay
    "forward":        Setup(1024,   64,    20,   1, 4.64e-4,     0.1,  0.97),
    "forward-narrow": Setup( 256,   64,     5,   1,    2e-3,     0.1,  0.97),
    "forward-vgg":    Setup(   8,   64,     4,   1,    1e-3,     0.1,  0.97),
    "forward-vgg16":  Setup(  64,   64,    50,   1,    1e-4,    1e-3,   1.0),
}  # fmt: skip


def default(experiment: str, strategy: str) -> ForwardConfig:
    """Return the configuration of `strategy` as it is trained unless options say otherwise."""
    width, batch_size, epochs, runs, lr, backprop_lr, decay = SETUPS[experiment]
    num_dir, clip, own_lr = (None, None, backprop_lr) if strategy == BACKPROP else (1, 1.0, lr)
    return ForwardConfig(
        experiment, strategy, num_dir, clip, "sgd", own_lr, decay, width, batch_size, epochs, runs
    )
