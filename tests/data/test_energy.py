"""The energy table: read to the digit, refused at the first cell that is no finite number."""

import os
from pathlib import Path

import numpy as np
import pytest

from aopnp.data import ENERGY_COLUMNS, DataError, load_energy
from aopnp.data.energy import parse

NEEDS_DATA = pytest.mark.skipif(
    not os.environ.get("AOPNP_DATA_DIR"),
    reason="needs the data sets: set AOPNP_DATA_DIR to their folder",
)
TABLE = np.random.default_rng(0).normal(size=(768, 10))


def written(table: np.ndarray, header: str = ",".join(ENERGY_COLUMNS)) -> list[str]:
    return [header, *(",".join(map(repr, row)) for row in table.tolist())]


def refusal(lines: list[str]) -> str:
    with pytest.raises(DataError) as caught:
        parse("\n".join(lines).encode())
    return str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_parse_undoes_writing(end: str) -> None:
    read = parse((end.join(written(TABLE)) + end).encode())
    np.testing.assert_array_equal(read, TABLE, strict=True)


@pytest.mark.parametrize("cell", ["", "abc", "nan", "inf", "-inf", "1e999", "1;5", "\ufffd"])
def test_a_cell_that_is_no_finite_number_is_refused_by_place(cell: str) -> None:
    lines = written(TABLE)
    lines[41] = ",".join([*lines[41].split(",")[:2], cell, *lines[41].split(",")[3:]])
    assert refusal(lines) == f"line 42, Wall Area: expected a finite number, got {cell!r}"


def test_bytes_that_are_no_text_are_refused() -> None:
    data = "\n".join(written(TABLE)).encode()
    with pytest.raises(DataError, match=r"line 769, Cooling Load: expected a finite number, got"):
        parse(data[:-1] + b"\xff")


@pytest.mark.parametrize(("cells", "got"), [(9, 9), (11, 11), (1, 1)])
def test_a_row_of_another_length_is_refused(cells: int, got: int) -> None:
    lines = written(TABLE)
    lines[768] = ",".join(["1.0"] * cells)
    assert refusal(lines) == f"line 769: expected 10 cells, got {got}"


def test_an_empty_line_is_refused() -> None:
    lines = written(TABLE)
    lines[1] = ""
    assert refusal(lines) == "line 2: expected 10 cells, got 1"


@pytest.mark.parametrize("rows", [0, 1, 767, 769])
def test_another_number_of_rows_is_refused(rows: int) -> None:
    assert (
        refusal(written(np.ones((rows, 10)))) == f"expected 768 rows below the header, got {rows}"
    )


def test_another_header_is_refused() -> None:
    swapped = ",".join((*ENERGY_COLUMNS[:8], ENERGY_COLUMNS[9], ENERGY_COLUMNS[8]))
    assert f"got {swapped!r}" in refusal(written(TABLE, swapped))
    assert refusal(written(TABLE)[1:]).startswith(
        "expected the header 'Relative Compactness,Surface Area,"
    )
    assert refusal([]).endswith("got ''")


def test_another_table_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "energy_efficiency" / "ENB2012.csv"
    path.parent.mkdir()
    path.write_text("\n".join(written(TABLE)))
    before = path.read_bytes()
    with pytest.raises(DataError) as caught:
        load_energy(tmp_path)
    assert str(caught.value).startswith(f"{path}: expected a file with sha256 142d3413e1d7")
    assert "https://archive.ics.uci.edu/" in str(caught.value)
    assert path.read_bytes() == before


@NEEDS_DATA
def test_the_real_table_is_read() -> None:
    table = load_energy()
    assert table.shape == (768, 10)
    assert table.dtype == np.float64
    np.testing.assert_array_equal(table[0], [0.98, 514.5, 294, 110.25, 7, 2, 0, 0, 15.55, 21.33])
    column = dict(zip(ENERGY_COLUMNS, table.T, strict=True))
    np.testing.assert_array_equal(np.unique(column["Orientation"]), [2, 3, 4, 5])
    np.testing.assert_array_equal(np.unique(column["Glazing Area"]), [0, 0.1, 0.25, 0.4])
    np.testing.assert_array_equal(np.unique(column["Glazing Area Distribution"]), range(6))
    assert (np.diff(column["Glazing Area"]) >= 0).all()  # file order
    # A box: the surface is its walls, its roof and a floor as large as the roof.
    np.testing.assert_array_equal(
        column["Surface Area"], column["Wall Area"] + 2 * column["Roof Area"]
    )
