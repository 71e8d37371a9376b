"""The exception for errors that users can fix, and how messages are written."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_LONGEST = 2000  # characters of a message: a line that quotes a file may have a megabyte


class InputError(Exception):
    """The input is wrong. The message says what is wrong, where, and what would be right.

    The command line prints it as one line on stderr and exits with 2. A traceback of any other
    exception is a defect of dashseg.
    """


def one_line(message: object) -> str:
    """A message for the terminal: one line of bounded length, control characters escaped."""
    text = str(message)
    if len(text) > _LONGEST:  # what to do often stands at the end
        text = f"{text[: _LONGEST - 500]} … {text[-500:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def command(arguments: str) -> str:
    """ "train --resume R" -> what to type: "dashseg train --resume R".

    Where `dashseg` is not on the PATH, its own path comes first: ".venv/bin/dashseg".
    """
    if shutil.which("dashseg"):
        return f"dashseg {arguments}"
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    script = python.with_name("dashseg")
    program = str(script) if script.is_file() else f"{python} -m dashseg"
    return f"{program} {arguments}"
