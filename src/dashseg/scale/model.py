"""A model that every machine of a cluster can load: its files, copied to DST or sent there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from dashseg.errors import InputError
from dashseg.files import read_bytes
from dashseg.inference.loading import load, model_files
from dashseg.inference.segmenter import Segmenter
from dashseg.run_directory import CONFIG
from dashseg.scale.storage import Storage

_FOLDER = "model"
_CLASSES = "palette.yaml"
_LARGEST = 8 << 30  # bytes of a file


@dataclass(frozen=True)
class Files:
    """What a model consists of.

    Args:
        first: the file to load.
        data: the bytes of each file, by name.
    """

    first: str
    data: dict[str, bytes]

    def digest(self) -> str:
        """Of the contents: the same model in another folder is the same."""
        found = hashlib.sha256(self.first.encode())
        for name, data in sorted(self.data.items()):
            found.update(f" {name} {len(data)} ".encode() + data)
        return found.hexdigest()[:16]


def read_model(model: str, classes: str | Path | None) -> Files:
    """The files that `load` needs.

    Raises:
        InputError: no such model, or it cannot be read.
    """
    paths = model_files(model)
    data = {path.name: read_bytes(path, _LARGEST) for path in paths}
    if classes is not None:
        data[_CLASSES] = read_bytes(Path(classes), _LARGEST)
    return Files(paths[0].name, data)


def store(folder: Storage, files: Files) -> None:
    """Write the files where `open_model` reads them, and no others."""
    folder.delete(_FOLDER)
    for name, data in files.data.items():
        folder.write(f"{_FOLDER}/{name}", data)


def open_model(
    folder: Storage, first: str, digest: str, device: str, tta: Sequence[str], many: bool
) -> Segmenter:
    """Load the model that `store` wrote.

    Args:
        first, digest: of the files that were stored.

    Raises:
        InputError: the files were changed since; as `load`.
    """
    names = folder.names(_FOLDER)
    files = Files(first, {name: folder.read(f"{_FOLDER}/{name}") for name in names})
    if files.digest() != digest:
        raise InputError(f"{folder.url(_FOLDER)} was changed since it was written: use --overwrite")
    return open_files(files, device, tta, many)


def open_files(files: Files, device: str, tta: Sequence[str], many: bool) -> Segmenter:
    """Load what `read_model` has read, also on another machine.

    Raises:
        InputError: as `load`.
    """
    with TemporaryDirectory() as temporary:
        here = Path(temporary)
        for name, data in files.data.items():
            (here / name).write_bytes(data)
        model = here if files.first == CONFIG else here / files.first
        classes = here / _CLASSES if _CLASSES in files.data else None
        return load(model, device=device, tta=tta, classes=classes, many=many)


@dataclass(frozen=True)
class Network:
    """A model on its way to the actors; each loads it once.

    Args:
        name: what the user called it; errors show it.
        device, tta, many: as `load` takes them.
    """

    name: str
    files: Files
    device: str
    tta: tuple[str, ...] = ()
    many: bool = False

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model.

        Raises:
            InputError: as `load`.
        """
        segmenter = open_files(self.files, self.device, self.tta, self.many)
        segmenter.name = self.name
        return segmenter
