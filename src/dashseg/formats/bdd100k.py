"""BDD100K: masks of 19 classes, or its drivable areas and lane markings joined.

    images/10k/train/NAME.jpg    labels/sem_seg/masks/train/NAME.png      train ids, 255 unknown
    images/100k/train/NAME.jpg   labels/drivable/masks/train/NAME.png     0 direct, 1 alternative
                                 labels/lane/masks/train/NAME.png         bits: 0-2 kind, 3 no lane
    seg/images/train/NAME.jpg    seg/labels/train/NAME_train_id.png       as first released

https://doc.bdd100k.com/format.html
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.formats.cityscapes import TRAIN_CLASSES
from dashseg.formats.files_of import ImageIndex
from dashseg.formats.masks import by_id, read_ids
from dashseg.formats.source import (
    Raster,
    ReadOptions,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.images import image_files, read_pixels

_DRIVABLE = ("direct drivable", "alternative drivable", "background")
_LANES = (
    "crosswalk", "double other", "double white", "double yellow", "road curb", "single other",
    "single white", "single yellow",
)  # fmt: skip
_NO_LANE = 3  # the bit
_MASKS = ("labels/sem_seg/masks", "seg/labels")
_JOINED = ("labels/drivable/masks", "labels/lane/masks")


def recognises(path: Path) -> str | None:
    """Why a folder is BDD100K's, or None."""
    folder = next((name for name in (*_MASKS, _JOINED[1]) if (path / name).is_dir()), None)
    return f"{folder}/" if folder else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: another layout.
    """
    folder = next((path / name for name in _MASKS if (path / name).is_dir()), None)
    joined = folder is None
    if joined:
        folder = path / _JOINED[0]
        if not folder.is_dir() or not (path / _JOINED[1]).is_dir():
            raise InputError(f"{path}: expected {_MASKS[0]}/, or {_JOINED[0]}/ and {_JOINED[1]}/")
    assert folder is not None
    images = ImageIndex(path / "seg/images" if folder == path / _MASKS[1] else path / "images")
    classes = (
        tuple(SourceClass(name, index) for index, name in enumerate((*_DRIVABLE, *_LANES)))
        if joined
        else TRAIN_CLASSES
    )
    table = by_id(classes)
    frames, problems = [], []
    for mask in image_files(folder):
        relative = mask.relative_to(folder)
        split = split_called(relative.parts[0]) or ""
        stem = mask.stem.removesuffix("_train_id")
        if stem.endswith("_train_color"):
            continue
        try:
            image = images.find(f"{relative.parts[0]}/{stem}.jpg", str(mask))
            if joined:
                lane = path / _JOINED[1] / relative
                if not lane.is_file():
                    raise InputError(f"{mask}: its lane map {lane} is missing")
                label = partial(_join, mask, lane)
            else:
                label = partial(read_ids, table, mask)
        except InputError as error:
            problems.append(str(error))
            continue
        frames.append(SourceFrame(stem, image, label, split))
    notes = ("drivable areas and lane markings joined: lanes lie above",) if joined else ()
    return Source(classes, tuple(frames), notes, tuple(problems))


def _join(drivable: Path, lane: Path, size: tuple[int, int]) -> Raster:
    area, marking = read_pixels(drivable), read_pixels(lane)
    if area.ndim != 2 or marking.ndim != 2 or area.shape != marking.shape:
        raise InputError(f"{drivable} and {lane}: expected two grey masks of one size")
    if area.max(initial=0) >= len(_DRIVABLE):
        raise InputError(f"{drivable}: {area.max()}: drivable maps hold 0, 1 and 2")
    pixels = area.astype(np.uint16)
    is_lane = (marking >> _NO_LANE & 1) == 0
    pixels[is_lane] = len(_DRIVABLE) + (marking[is_lane] & 7)
    return Raster(pixels)
