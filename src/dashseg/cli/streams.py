"""Standard output and standard error that lose no work: their failures wait for the verb's end."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class _Patient(io.FileIO):
    """A stream that is thrown away once it fails: its disk is full, or its reader went away."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data) if self.failure is None else len(data)
        except OSError as error:
            self.failure = error
            return len(data)


_stdout: _Patient | None = None


def make_patient() -> None:
    """Replace sys.stdout and sys.stderr; what the encoding does not have is written as \\uXXXX.

    A stream that the caller has closed goes nowhere; else the next file that is opened would get
    its number, and messages of C libraries with it.
    """
    global _stdout
    while (spare := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(spare)
    for name, number in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        raw = _Patient(number, "wb", closefd=False)
        if name == "stdout":
            _stdout = raw
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=old.encoding if old else "utf-8",
            errors="backslashreplace",
            line_buffering=name == "stderr" or raw.isatty(),
        )
        setattr(sys, name, stream)


def console(width: int | None = None) -> Console:
    """Rich's console for tables; text such as "[/]" or ":car:" in names is no markup."""
    from rich.console import Console

    return Console(width=width, markup=False, emoji=False)


def what_failed() -> str:
    """Why the output could not be written; "" if it was, or if its reader went away (`| head`)."""
    sys.stdout.flush()
    failure = _stdout and _stdout.failure
    return (failure.strerror or "") if failure and not isinstance(failure, BrokenPipeError) else ""
