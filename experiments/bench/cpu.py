"""`bench cpu`: the rows, by the name that --only takes."""

from collections.abc import Callable, Iterator

from experiments.bench.commands import energy_command_rows, memory_rows, paper_rows, start_rows
from experiments.bench.conv import conv_rows
from experiments.bench.feedback import feedback_rows
from experiments.bench.grids import energy_rows, mnist_rows
from experiments.bench.mlp import mlp_rows
from experiments.bench.row import HEADING, Row
from experiments.bench.steps import layer_rows, step_rows

__all__ = ["HEADING", "ROWS", "WITHOUT_PAPER"]

ROWS: dict[str, Callable[[int, str | None], Iterator[Row]]] = {
    "step": step_rows,
    "layer": layer_rows,
    "mlp": mlp_rows,
    "conv": conv_rows,
    "feedback": feedback_rows,
    "mnist": mnist_rows,
    "energy": energy_rows,
    "energy-command": energy_command_rows,
    "start": start_rows,
    "memory": memory_rows,
    "paper": paper_rows,
}
WITHOUT_PAPER = [name for name in ROWS if name != "paper"]
"""What is measured unless one row is named: `paper` takes minutes."""
