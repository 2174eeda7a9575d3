"""Energy Efficiency (ENB2012): the heating and cooling loads of 768 simulated buildings of twelve shapes.

Source: Tsanas and Xifara, UCI Machine Learning Repository, 2012 (CC BY 4.0). The file is the copy that the
authors of Mem-AOP-GD trained on; its rows are ordered by glazing, and the published split keeps that order.
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
    """Table float64 [768, 10] in file order, columns ENERGY_COLUMNS; DataError where missing or damaged."""
    return load(ENERGY_FILE, parse, data_dir)


def parse(data: bytes) -> NDArray[np.float64]:
    """Numbers float64 [768, 10] below one header line; DataError names the line and the column."""
    header, *lines = data.decode("utf-8", "replace").splitlines() or [""]
    if header != ",".join(ENERGY_COLUMNS):
        raise DataError(f"expected the header {','.join(ENERGY_COLUMNS)!r}, got {header[:200]!r}")
    if len(lines) != ROWS:
        raise DataError(f"expected {ROWS} rows below the header, got {len(lines)}")
    return np.array([_numbers(line, f"line {number}") for number, line in enumerate(lines, 2)])


def _numbers(line: str, where: str) -> list[float]:
    cells = line.split(",")
    if len(cells) != len(ENERGY_COLUMNS):
        raise DataError(f"{where}: expected {len(ENERGY_COLUMNS)} cells, got {len(cells)}")
    return [
        _number(cell, f"{where}, {name}") for cell, name in zip(cells, ENERGY_COLUMNS, strict=True)
    ]


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: expected a finite number, got {cell!r}")
    return number
