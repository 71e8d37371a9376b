"""Finding the files of another tool's data set."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from dashseg.data.dataset import by_name
from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.files import read_bytes, read_json, read_text
from dashseg.images import image_files


def by_stem(folder: Path) -> dict[str, Path]:
    """Path below `folder` without suffix -> file, of every image.

    Raises:
        InputError: two files of one name.
    """
    return by_name(
        (path.relative_to(folder).with_suffix("").as_posix(), path) for path in image_files(folder)
    )


_BEGINNING = 1 << 16
MAX_LABELS = 4 << 30  # bytes of one label file: COCO's largest has half a GB


class ImageIndex:
    """Finds images by the names that label files give them, also in sub-folders."""

    def __init__(self, root: Path, without: Collection[Path] = ()) -> None:
        """Args:
        root: where images lie, at any depth.
        without: folders that hold masks.
        """
        self._root = root
        self._named: dict[str, list[Path]] = {}
        for path in image_files(root):
            if any(folder in path.parents for folder in without):
                continue
            self._named.setdefault(path.name, []).append(path)

    def find(self, name: str, source: Path | str, split: str = "") -> Path:
        """The image called `name`.

        Args:
            source: the label file, or what errors call it. Where several images fit, those in its
                folder come first.
            split: then those in a folder of this split.

        Raises:
            InputError: no such image, or several that fit equally well.
        """
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        candidates = self._named.get(parts[-1] if parts else "", [])
        for length in range(len(parts), 0, -1):  # the longest common end of the paths decides
            ends = [path for path in candidates if list(path.parts[-length:]) == parts[-length:]]
            if len(ends) == 1:
                return ends[0]
            for near in (
                [
                    path
                    for path in ends
                    if isinstance(source, Path) and source.parent in path.parents
                ],
                [path for path in ends if split and split in map(split_called, path.parts)],
            ):
                if len(near) == 1:
                    return near[0]
            if ends:
                raise InputError(
                    f"{source}: {name} could be {ends[0]} or {ends[1]}: the label file does not say"
                )
        raise InputError(f"{source}: its image {name} is missing in {self._root}")


def split_of(path: PurePosixPath) -> tuple[str, str]:
    """(split, name) of a path below a root: the first folder that names a split is taken out."""
    for index, part in enumerate(path.parts[:-1]):
        if (split := split_called(part)) is not None:
            return split, PurePosixPath(*path.parts[:index], *path.parts[index + 1 :]).as_posix()
    return "", path.as_posix()


def beginning(path: Path) -> str:
    """The first 64 kB of a text file, by which formats are recognised; "" if it cannot be read."""
    try:
        return read_bytes(path, MAX_LABELS, _BEGINNING).decode("utf-8-sig", "replace").lstrip()
    except InputError:
        return ""


def read_table(path: Path) -> list[list[str]]:
    """The rows of a CSV file, without those that are empty.

    Raises:
        InputError: as `read_text`.
    """
    return [row for row in csv.reader(read_text(path).removeprefix("\ufeff").splitlines()) if row]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without those that are empty.

    Raises:
        InputError: as `read_text`.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_object(path: Path) -> dict[str, object]:
    """Read a JSON file that holds an object.

    Raises:
        InputError: missing, not JSON, or not an object.
    """
    values = read_json(path, MAX_LABELS)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, not a {type(values).__name__}")
    return values
