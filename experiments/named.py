"""Configurations that are called after their scheme, and after their settings where those are off the defaults."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from experiments.config import UsageError
from experiments.configuration import off_defaults


@dataclass(frozen=True)
class Named:
    """What the configurations of deep networks have in common: file names, the dictionary of a result file, checks."""

    experiment: str
    SETTINGS: ClassVar[tuple[str, ...]]
    """Fields that do not tell the configurations of one figure apart."""

    @property
    def dataset(self) -> str:
        """Name of the problem and of the folder of its results: that of the experiment."""
        return self.experiment

    def default(self) -> Self:
        """Return the configuration of this scheme as it is trained unless options say otherwise."""
        raise NotImplementedError

    def scheme(self) -> str:
        """Return the part of the file name that tells the configurations of one figure apart."""
        raise NotImplementedError

    def settings(self) -> str:
        """Return the other part, all else that is off the defaults: -epochs2-runs1, or nothing."""
        return "".join(f"-{part}" for part in off_defaults(self, self.default(), self.SETTINGS))

    def stem(self) -> str:
        """Return the file name without ending."""
        return self.scheme() + self.settings()

    def as_dict(self) -> dict[str, Any]:
        """Return the "config" entry of the result file."""
        return asdict(self)

    def at_least(self, **smallest: int) -> None:
        """Raise UsageError where a value is below its smallest."""
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise UsageError(
                    f"expected --{name.replace('_', '-')} of at least {least}, got {getattr(self, name)}"
                )
