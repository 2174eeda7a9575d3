"""Energy Efficiency (ENB2012): heating and cooling loads of 768 simulated buildings.

The buildings have twelve shapes.

Source: Tsanas and Xifara, UCI Machine Learning Repository, 2012 (CC BY 4.0). The file is the copy
that the authors of Mem-AOP-GD trained on. Its rows are ordered by glazing, and the published split
keeps that order.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aopnp.data.files import DataError, DataFile, load

ROWS = 768
ENERGY_COLUMNS = (
    "Relative Compactness",
    "Surface Area",
    "Wall Area",
    "Roof Area",
    "Overall Height",
    "Orientation",
    "Glazing Area",
    "Glazing Area Distribution",
    "Heating Load",
    "Cooling Load",
)
ENERGY_FILE = DataFile(
    "energy_efficiency/ENB2012.csv",
    "https://raw.githubusercontent.com/HernandezEduin/Mem-AOP-GD/HEAD/data/EnergyEfficiency/data.csv",
    "https://archive.ics.uci.edu/dataset/242/energy+efficiency",
    "sha256:142d3413e1d787042398b9e2413e69314bc53043d366441da0a2ed2da3142f31",
)


def load_energy(data_dir: str | Path | None = None) -> NDArray[np.float64]:
    """Return the table, float64 [768, 10], in the order of the file.

    The columns are ENERGY_COLUMNS. Raises DataError where the file is missing or damaged.
    """
    return load(ENERGY_FILE, parse, data_dir)


def parse(data: bytes) -> NDArray[np.float64]:
    """Return the numbers below the header line, float64 [768, 10].

    Raises DataError, which names line and column, for another content.
    """
    text = data.decode("utf-8", "replace")
    header, *lines = text.splitlines() or [""]
    expected = ",".join(ENERGY_COLUMNS)
    if header != expected:
        raise DataError(f"expected the header {expected!r}, got {header[:200]!r}")
    if len(lines) != ROWS:
        raise DataError(f"expected {ROWS} rows below the header, got {len(lines)}")
    rows = [_numbers(line, f"line {number}") for number, line in enumerate(lines, start=2)]
    return np.array(rows)


def _numbers(line: str, where: str) -> list[float]:
    cells = line.split(",")
    if len(cells) != len(ENERGY_COLUMNS):
        raise DataError(f"{where}: expected {len(ENERGY_COLUMNS)} cells, got {len(cells)}")
    pairs = zip(cells, ENERGY_COLUMNS, strict=True)
    return [_number(cell, f"{where}, {name}") for cell, name in pairs]


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: expected a finite number, got {cell!r}")
    return number
