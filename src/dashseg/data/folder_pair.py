"""Where a layout keeps its frames: a folder of images and the folder of their masks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dashseg.errors import InputError
from dashseg.images import is_image_file
from dashseg.labels import Classes


@dataclass(frozen=True)
class FolderPair:
    """Two folders whose files pair up by name.

    Args:
        classes: what the masks hold.
        prefix: prefix of these frames' names, such as "train/".
        mask_ending: suffix of a mask's stem that its image lacks, such as CamVid's "_L".
        suffixes: file suffixes to read, case-sensitive; empty: all image suffixes, in any case.
        deep: read sub-folders too; they are part of the frame's name.
        size: (H, W) of the frames, if known.
    """

    images: Path
    masks: Path
    classes: Classes
    prefix: str = ""
    mask_ending: str = ""
    suffixes: tuple[str, ...] = ()
    deep: bool = False
    size: tuple[int, int] | None = None

    def image_files(self) -> Iterator[tuple[str, Path]]:
        """(frame's name, file) of every image, sorted by path."""
        return ((self.name(path), path) for path in files_below(self.images) if self.reads(path))

    def mask_files(self) -> Iterator[tuple[str, Path]]:
        """(frame's name, file) of every mask, sorted by path."""
        return ((self.name(path), path) for path in files_below(self.masks) if self.reads(path))

    def reads(self, path: Path) -> bool:
        """Whether a file in one of the folders counts as an image or mask, by its name."""
        parts = path.relative_to(self.folder_of(path)).parts
        if any(part.startswith(".") for part in parts) or (len(parts) > 1 and not self.deep):
            return False
        return path.suffix in self.suffixes if self.suffixes else is_image_file(path)

    def name(self, path: Path) -> str:
        """The name of the frame that a file in one of the folders belongs to."""
        folder = self.folder_of(path)
        name = path.relative_to(folder).with_suffix("").as_posix()
        return self.prefix + (name.removesuffix(self.mask_ending) if folder == self.masks else name)

    def folder_of(self, path: Path) -> Path:
        return self.masks if path.is_relative_to(self.masks) else self.images


def files_below(folder: Path) -> list[Path]:
    """Every file in a folder and its sub-folders, sorted; links are followed, broken ones kept.

    Raises:
        InputError: a folder cannot be listed.
    """
    found: list[Path] = []
    _collect(folder, found, set())
    return sorted(found)


def _collect(folder: Path, found: list[Path], above: set[str]) -> None:
    """`above`: the real paths of the folders we are in; links back to one are not followed."""
    real = os.path.realpath(folder)
    if real in above or not folder.is_dir():
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir():
            _collect(folder / entry.name, found, above | {real})
        else:
            found.append(folder / entry.name)
