"""What the runner, the training and the result files need of a configuration, whatever its experiment."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol

from aopnp.optim import Optimiser
from aopnp.training import Rule


class Configuration(Protocol):
    """One configuration: hashable, and equal to another one only if both give the same result file."""

    @property
    def dataset(self) -> str:
        """Name of the problem that is trained on, and of the folder of its results."""
        ...

    @property
    def batch_size(self) -> int: ...

    @property
    def epochs(self) -> int: ...

    @property
    def runs(self) -> int: ...

    @property
    def seed(self) -> int: ...

    @property
    def dtype(self) -> str: ...

    @property
    def device(self) -> str: ...

    def stem(self) -> str:
        """Return the file name without ending."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return the "config" entry of the result file."""
        ...

    def check(self) -> None:
        """Raise UsageError with a sentence where the values cannot be trained with."""
        ...

    def stack(self, run: int) -> Hashable:
        """Return a key: runs whose keys are equal are trained as one stack."""
        ...

    def estimators(self, stacked: Sequence[Any]) -> Any:
        """Return what the problem's network is made with, for `stacked` configurations side by side."""
        ...

    def optimiser(self, steps: int) -> Optimiser:
        """Return the optimiser for a training of so many steps in all."""
        ...

    def learning_rule(self, steps: int) -> Rule:
        """Return what fills the gradients in a training of so many steps in all."""
        ...


def off_defaults(config: Any, default: Any, names: Iterable[str]) -> list[str]:
    """Return the parts of a file name that say where `config` differs from `default`, in the order of `names`."""
    values = {name: getattr(config, name) for name in names}
    # All digits of a number: two configurations must never share a file.
    return [
        name.replace("_", "-") + ("" if value is True else str(value).removesuffix(".0"))
        for name, value in values.items()
        if value != getattr(default, name)
    ]
