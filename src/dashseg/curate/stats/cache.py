"""What was counted of a data set <-> a file in the user's cache folder, good until a frame changes.

One file per data set, split and kind, and for what was counted: counting anew replaces it. Nothing
is written beside the frames.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import dashseg
from dashseg.data.dataset import Dataset, FileDataset
from dashseg.errors import InputError
from dashseg.files import make_folder, write_text

Counted = TypeVar("Counted")


def cache_folder() -> Path:
    """Where this user's programs keep what they can make again.

    DASHSEG_CACHE, else dashseg/ in the platform's folder: XDG_CACHE_HOME or ~/.cache,
    ~/Library/Caches on macOS, LOCALAPPDATA on Windows.

    Raises:
        InputError: this user has no home folder.
    """
    if own := os.environ.get("DASHSEG_CACHE"):
        return Path(own)
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():  # a relative one is to be ignored, says the XDG specification
        return named / "dashseg"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise InputError("this user has no home folder: name a cache by DASHSEG_CACHE") from error
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "dashseg"


def cache_file(dataset: Dataset, what: str = "statistics") -> Path:
    """The file that keeps what was counted of this data set: its sums, or something else."""
    key = json.dumps([_absolute(dataset.root), _absolute(dataset.split), dataset.kind])
    return cache_folder() / what / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def digest(dataset: Dataset) -> str:
    """Hex digest of all that the sums depend on, from the files' names, sizes and times alone."""
    value = hashlib.sha256(f"{dashseg.__version__} {dataset.classes}\n".encode())
    value.update(f"{dataset.fingerprint()}\n".encode())
    for path in _files(dataset):
        found = path.stat()
        value.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    for name in dataset.names:
        value.update(f"{name}\n".encode())
    return value.hexdigest()


def load(path: Path, wanted: str, parse: Callable[[Any], Counted]) -> Counted | None:
    """What is kept under the digest `wanted`; None if there is nothing or the file is damaged.

    Args:
        parse: makes it of the plain values; raises KeyError, TypeError or ValueError for others.
    """
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept["seal"] == _seal(wanted, kept["counted"]):
            return parse(kept["counted"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def store(path: Path, made_of: str, root: str, counted: Any) -> None:
    """Keep plain values, under the digest of what they were counted from, in place of older ones.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(path.parent)
    sealed = {"root": root, "seal": _seal(made_of, counted), "counted": counted}
    write_text(path, json.dumps(sealed, allow_nan=False) + "\n")


def _seal(made_of: str, counted: Any) -> str:
    """Hex digest that only these values of only these frames have."""
    return hashlib.sha256(f"{made_of} {json.dumps(counted)}".encode()).hexdigest()


def _absolute(name: str) -> str:
    """A folder's or split file's whole path; "synthetic:20" and "val" are none."""
    return str(Path(name).resolve()) if Path(name).exists() else name


def _files(dataset: Dataset) -> Iterable[Path]:
    if isinstance(dataset, FileDataset):
        return (path for frame in dataset.frames for path in (frame.image, frame.mask))
    if Path(dataset.root).is_dir():  # a pack: few files that hold many frames
        return sorted(path for path in Path(dataset.root).rglob("*") if path.is_file())
    return ()
