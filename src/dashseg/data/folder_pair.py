"""Where a layout keeps its frames: a folder of images and the folder of their masks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dashseg.errors import InputError
from dashseg.files import files_below, printable
from dashseg.images import is_image_file
from dashseg.labels import Classes


def require_utf8(path: str | Path) -> None:
    """Raise InputError for a name that no report could show."""
    if printable(path) != str(path):
        raise InputError(f"{printable(path)}: its name is not UTF-8: rename it")


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
        """The name of the frame that a file in one of the folders belongs to.

        macOS writes "é" as two characters and others as one: names are compared in the short form.

        Raises:
            InputError: it is not UTF-8.
        """
        require_utf8(path)
        folder = self.folder_of(path)
        name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        return self.prefix + (name.removesuffix(self.mask_ending) if folder == self.masks else name)

    def folder_of(self, path: Path) -> Path:
        return self.masks if path.is_relative_to(self.masks) else self.images
