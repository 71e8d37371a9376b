"""CSV files: cells that a spreadsheet would run as a formula are written as text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from dashseg.errors import InputError
from dashseg.files import read_text

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def table_writer(file: IO[str]) -> Callable[[Iterable[Any]], object]:
    """A function that writes one row to a file that was opened with newline="".

    A text that a spreadsheet would take for a formula gets a ' before it; numbers do not.
    `read_table` takes it away.
    """
    # With the line end "\n", Python 3.11 does not quote "\r".
    lines = SimpleNamespace(write=lambda line: file.write(line.removesuffix("\r\n") + "\n"))
    write = csv.writer(lines, lineterminator="\r\n").writerow
    return lambda cells: write(map(_as_text, cells))


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by the names in its first line; cells that a row lacks are "".

    Raises:
        InputError: as `read_text`, or not CSV.
    """
    try:
        rows = csv.DictReader(io.StringIO(read_text(path), newline=""), restkey="", restval="")
        return [{name: _original(cell) for name, cell in row.items() if name} for row in rows]
    except csv.Error as error:
        raise InputError(f"{path}: not valid CSV ({error})") from error


def _as_text(cell: Any) -> Any:
    if not isinstance(cell, str) or not _FORMULA.match(cell):
        return cell
    with suppress(ValueError):
        float(cell)
        return cell
    return f"'{cell}"


def _original(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
