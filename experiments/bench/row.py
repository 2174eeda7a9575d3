"""One row of the table that `bench cpu` prints: our figure, the opponent's, what is aimed at."""

from dataclasses import dataclass

HEADING = (
    "| what | size | ours | opponent | figure | to reach | reached |\n|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """`figure` is at most `limit` where the aim is reached; None: not measured, or nothing aimed at."""

    what: str
    size: str
    ours: str
    opponent: str = "-"
    figure: float | None = None
    limit: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        """Return a row of HEADING's table."""
        cells = [
            self.what,
            self.size,
            self.ours,
            self.opponent,
            self._number(self.figure),
            self._aim(),
            self._reached(),
        ]
        return f"| {' | '.join(cells)} |"

    def _number(self, value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}{self.unit and ' ' + self.unit}"

    def _aim(self) -> str:
        return "-" if self.limit is None else f"at most {self._number(self.limit)}"

    def _reached(self) -> str:
        if self.figure is None or self.limit is None:
            return "-"
        return "yes" if self.figure <= self.limit else "NO"


def against(
    what: str, size: str, ours: float, opponent: tuple[str, float], limit: float | None
) -> Row:
    """Return the row of our seconds and the opponent's (its name and seconds), whose figure is the ratio."""
    name, seconds = opponent
    return Row(what, size, in_words(ours), f"{name}: {in_words(seconds)}", ours / seconds, limit)


def in_words(seconds: float) -> str:
    """Return seconds in the unit in which they are read best."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
