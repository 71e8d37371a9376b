"""Statistics of a data set, cached in a file that is valid until a frame changes.

One file per data set, split, layout and kind of statistics, in the user's cache folder. Nothing is
written beside the frames.
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
from dashseg.files import files_below, make_folder, read_json, write_text

Counted = TypeVar("Counted")


def cache_folder() -> Path:
    """The user's cache folder.

    DASHSEG_CACHE, else dashseg/ in the platform's folder: XDG_CACHE_HOME or ~/.cache,
    ~/Library/Caches on macOS, LOCALAPPDATA on Windows.

    Raises:
        InputError: this user has no home folder.
    """
    if own := os.environ.get("DASHSEG_CACHE"):
        return Path(own)
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():  # the XDG specification says to ignore a relative one
        return named / "dashseg"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise InputError("this user has no home folder: set DASHSEG_CACHE to a folder") from error
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "dashseg"


def cache_file(dataset: Dataset, what: str = "statistics") -> Path:
    """The cache file of a data set. `what` is the kind of statistics."""
    key = json.dumps([_absolute(dataset.root), _absolute(dataset.split), dataset.kind])
    return cache_folder() / what / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def digest(dataset: Dataset) -> str:
    """Hex digest of all that the statistics depend on: files by name, size and time."""
    value = hashlib.sha256(f"{dashseg.__version__} {dataset.classes}\n".encode())
    value.update(f"{dataset.fingerprint()}\n".encode())
    for path in _files(dataset):
        found = path.stat()
        value.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    for name in dataset.names:
        value.update(f"{name}\n".encode())
    return value.hexdigest()


def load(path: Path, wanted: str, parse: Callable[[Any], Counted]) -> Counted | None:
    """Read cached statistics; None if there are none with the digest `wanted`, or they are damaged.

    Args:
        parse: converts the JSON values; raises KeyError, TypeError or ValueError if it cannot.
    """
    try:
        kept = read_json(path)
        if kept["seal"] == _seal(wanted, kept["counted"]):
            return parse(kept["counted"])
    except (InputError, ValueError, KeyError, TypeError):
        pass
    return None


def store(path: Path, made_of: str, root: str, counted: Any) -> None:
    """Cache JSON values with the digest of their data set, replacing older ones.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(path.parent)
    sealed = {"root": root, "seal": _seal(made_of, counted), "counted": counted}
    write_text(path, json.dumps(sealed, allow_nan=False) + "\n")


def _seal(made_of: str, counted: Any) -> str:
    """Hex digest of the values and of the data set that they belong to."""
    return hashlib.sha256(f"{made_of} {json.dumps(counted)}".encode()).hexdigest()


def _absolute(name: str) -> str:
    """The absolute path of a folder or split file; other names, such as "synthetic:20", as is."""
    return os.path.realpath(name) if os.path.exists(name) else name


def _files(dataset: Dataset) -> Iterable[Path]:
    if isinstance(dataset, FileDataset):
        return (path for frame in dataset.frames for path in (frame.image, frame.mask))
    if Path(dataset.root).is_dir():  # a pack: few files that hold many frames
        return [path for path in files_below(Path(dataset.root)) if path.is_file()]
    return ()
