"""CSV files hold what was written, and no spreadsheet runs a formula from them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dashseg.errors import InputError
from dashseg.tables import read_table, table_writer

NAMES = [
    '=HYPERLINK("http://x")', "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", "'a", "'",
    "a=1", "a\nb", 'a"b', "a,b", "", "-", "Straße", "__proto__",
]  # fmt: skip


def write(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_row = table_writer(file)
        for row in rows:
            write_row(row)
    return path


def test_names_are_read_back_and_are_no_formulas(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [["name", "number"], *([name, 1] for name in NAMES)])
    assert [row["name"] for row in read_table(path)] == NAMES
    with path.open(encoding="utf-8", newline="") as file:
        cells = [row["name"] for row in csv.DictReader(file)]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [["a", "b", "c", "d"], ["-0.5", -2, "+1e-3", -1.5]])
    assert (tmp_path / "a.csv").read_text() == "a,b,c,d\n-0.5,-2,+1e-3,-1.5\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff", "not UTF-8"), (b"a\n" + b"x" * 200_000, "not valid CSV")],
)
def test_a_damaged_table_is_an_error_that_names_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.csv: {message}"):
        read_table(tmp_path / "a.csv")


@pytest.mark.parametrize("content", ["", "a", "a,b\n1", "a\n1,2,3", "\n\n", "\0\n\0"])
def test_cut_tables_are_read_as_far_as_they_go(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    for row in read_table(tmp_path / "a.csv"):
        assert all(isinstance(cell, str) for cell in row.values())
