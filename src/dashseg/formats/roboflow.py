"""Roboflow's "Semantic Segmentation Masks": train/ valid/ test/, each with `_classes.csv`.

`_classes.csv` lists "Pixel Value, Class"; `NAME_mask.png` beside `NAME.jpg` holds the values.
https://roboflow.com/formats/semantic-segmentation-masks
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.formats.files_of import read_table
from dashseg.formats.masks import by_id, read_ids
from dashseg.formats.source import (
    ReadOptions,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.images import image_files

_CLASSES, _ENDING = "_classes.csv", "_mask"


def recognises(path: Path) -> str | None:
    """Why a folder is Roboflow's, or None."""
    return f"{_CLASSES} and *{_ENDING}.png" if _folders(path) else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: no `_classes.csv`, or lists that differ between splits.
    """
    folders = _folders(path)
    if not folders:
        raise InputError(f"{path}: no {_CLASSES} in it or in its folders")
    lists = {folder: _read_classes(folder / _CLASSES) for folder in folders}
    classes = lists[folders[0]]
    for folder, found in lists.items():
        if found != classes:
            raise InputError(f"{folder / _CLASSES} differs from {folders[0] / _CLASSES}")
    table = by_id(classes)
    frames, problems = [], []
    for folder in folders:
        split = split_called(folder.name) or ""
        files = {file.stem: file for file in image_files(folder)}
        for stem, image in files.items():
            if stem.endswith(_ENDING):
                continue
            mask = files.get(stem + _ENDING)
            if mask is None:
                problems.append(f"{image}: it has no mask {stem}{_ENDING}.png")
                continue
            frames.append(SourceFrame(stem, image, partial(read_ids, table, mask), split))
    return Source(classes, tuple(frames), problems=tuple(problems))


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    if (path / _CLASSES).is_file():
        return [path]
    return [folder for folder in sorted(path.iterdir()) if (folder / _CLASSES).is_file()]


def _read_classes(path: Path) -> tuple[SourceClass, ...]:
    rows = read_table(path)[1:]
    try:
        return tuple(SourceClass(row[1].strip(), int(row[0])) for row in rows)
    except (ValueError, IndexError):
        raise InputError(f'{path}: expected lines of "Pixel Value, Class"') from None
