"""The formats of other tools: one module each.

A module that reads has `recognises(path)`, which returns why it takes a folder or file for its
own, or None, and `read(path, options)`. A module that writes has `write_frame` and `finish`
(`dashseg.formats.writing`).
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from dashseg.errors import InputError

# In the order of recognition: what has files of its own before what any folder may look like.
READERS: dict[str, ModuleType] = {}
WRITERS: dict[str, ModuleType] = {}


def recognise(path: Path) -> tuple[str, str]:
    """The format of a folder or file, and why, in words.

    Raises:
        InputError: no format that is known.
    """
    for name, module in READERS.items():
        if why := module.recognises(path):
            return name, why
    raise InputError(
        f"{path}: no format that dashseg recognises; name it with --format: {', '.join(READERS)}"
    )
