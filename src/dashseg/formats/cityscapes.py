"""Cityscapes and IDD: leftImg8bit/ and gtFine/, by split and city or drive.

Of each frame the first of these is read: labelIds, trainIds (Cityscapes) or level-3 ids (IDD),
colours, or the polygons, which are drawn in their order.
https://github.com/mcordts/cityscapesScripts (helpers/labels.py),
https://github.com/AutoNUE/public-code (helpers/anue_labels.py)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.formats.files_of import read_object
from dashseg.formats.masks import by_colour, by_id, read_colours, read_ids
from dashseg.formats.source import (
    ReadOptions,
    Shape,
    Shapes,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.images import image_files

_IMAGES = ("leftImg8bit", "leftImg8bit_trainvaltest")
_LABELS = ("gtFine", "gtCoarse")
_IMAGE_END = "_leftImg8bit"

# name, id, train id (255: not evaluated), colour
_CITYSCAPES = (
    ("unlabeled", 0, 255, (0, 0, 0)), ("ego vehicle", 1, 255, (0, 0, 0)),
    ("rectification border", 2, 255, (0, 0, 0)), ("out of roi", 3, 255, (0, 0, 0)),
    ("static", 4, 255, (0, 0, 0)), ("dynamic", 5, 255, (111, 74, 0)),
    ("ground", 6, 255, (81, 0, 81)), ("road", 7, 0, (128, 64, 128)),
    ("sidewalk", 8, 1, (244, 35, 232)), ("parking", 9, 255, (250, 170, 160)),
    ("rail track", 10, 255, (230, 150, 140)), ("building", 11, 2, (70, 70, 70)),
    ("wall", 12, 3, (102, 102, 156)), ("fence", 13, 4, (190, 153, 153)),
    ("guard rail", 14, 255, (180, 165, 180)), ("bridge", 15, 255, (150, 100, 100)),
    ("tunnel", 16, 255, (150, 120, 90)), ("pole", 17, 5, (153, 153, 153)),
    ("polegroup", 18, 255, (153, 153, 153)), ("traffic light", 19, 6, (250, 170, 30)),
    ("traffic sign", 20, 7, (220, 220, 0)), ("vegetation", 21, 8, (107, 142, 35)),
    ("terrain", 22, 9, (152, 251, 152)), ("sky", 23, 10, (70, 130, 180)),
    ("person", 24, 11, (220, 20, 60)), ("rider", 25, 12, (255, 0, 0)),
    ("car", 26, 13, (0, 0, 142)), ("truck", 27, 14, (0, 0, 70)), ("bus", 28, 15, (0, 60, 100)),
    ("caravan", 29, 255, (0, 0, 90)), ("trailer", 30, 255, (0, 0, 110)),
    ("train", 31, 16, (0, 80, 100)), ("motorcycle", 32, 17, (0, 0, 230)),
    ("bicycle", 33, 18, (119, 11, 32)), ("license plate", -1, 255, (0, 0, 142)),
)  # fmt: skip
_VOID = ("unlabeled", "ego vehicle", "rectification border", "out of roi")
TRAIN_CLASSES = (
    *(SourceClass(name, train, rgb) for name, _, train, rgb in _CITYSCAPES if train != 255),
    SourceClass("unlabeled", 255, ignore=True),
)
# IDD's level-3 ids; several of its polygons' labels share one.
_IDD_LEVEL3 = (
    "road", "drivable fallback", "sidewalk", "non-drivable fallback", "person", "rider",
    "motorcycle", "bicycle", "autorickshaw", "car", "truck", "bus", "vehicle fallback", "curb",
    "wall", "fence", "guard rail", "billboard", "traffic sign", "traffic light", "pole",
    "obs-str-bar-fallback", "building", "bridge", "vegetation", "sky",
)  # fmt: skip
_DRAWN_OVER = re.compile(r"(.*)group$")  # "cargroup" is a group of cars


def recognises(path: Path) -> str | None:
    """Why a folder is Cityscapes', or None."""
    found = _layout(path)
    return f"{found[0].name}/ and {found[1].name}/" if found and not _is_idd(found) else None


def recognises_idd(path: Path) -> str | None:
    """Why a folder is IDD's, or None."""
    found = _layout(path)
    if not found or not _is_idd(found):
        return None
    return f"{found[0].name}/ and {found[1].name}/, with IDD's file names"


def read(path: Path, options: ReadOptions) -> Source:
    """List Cityscapes' frames.

    Raises:
        InputError: another layout.
    """
    return _read(path, idd=False)


def read_idd(path: Path, options: ReadOptions) -> Source:
    """List IDD's frames.

    Raises:
        InputError: another layout.
    """
    return _read(path, idd=True)


def _read(path: Path, idd: bool) -> Source:
    layout = _layout(path)
    if layout is None:
        raise InputError(f"{path}: expected leftImg8bit/ and gtFine/")
    images, labels = layout
    endings = _IDD_ENDINGS if idd else _ENDINGS
    found: list[tuple[str, str, Path, Path]] = []
    problems = []
    unlabelled = 0
    for image in image_files(images):
        split, *folders = image.relative_to(images).parts[:-1] or ("",)
        stem = image.stem.removesuffix(_IMAGE_END)
        name = "/".join([*folders, stem])
        beside = labels / image.relative_to(images).parent
        ending = next(
            (end for end in endings if (beside / f"{stem}_{labels.name}_{end}").is_file()), None
        )
        if ending is None:
            if split_called(split) == "test":
                unlabelled += 1  # the labels of the test frames are not public
            else:
                problems.append(f"{image}: it has no label in {beside}")
            continue
        label = beside / f"{stem}_{labels.name}_{ending}"
        found.append((ending, name, image, label))
    endings_used = {ending for ending, *_ in found}
    if len(endings_used) > 1:
        raise InputError(f"{path}: some frames have only {' and others only '.join(endings_used)}")
    if not found:
        raise InputError(f"{path}: no frame has a label")
    (ending,) = endings_used
    classes, reader = endings[ending]()
    if reader is None:  # polygons name their classes
        names: dict[str, None] = {}
        for *_, label in found:
            try:
                for entry in _objects(label):
                    names.setdefault(_plain(entry["label"]))
            except InputError as error:
                problems.append(str(error))
        known = {} if idd else {name: (id_, rgb) for name, id_, _, rgb in _CITYSCAPES}
        unknown = (None, None)
        numbered = ((name, *known.get(name, unknown)) for name in names)
        classes = tuple(SourceClass(name, id_, rgb, name in _VOID) for name, id_, rgb in numbered)
        reader = partial(_read_polygons, {name: index for index, name in enumerate(names)})
    frames = tuple(
        SourceFrame(name, image, partial(reader, label), _split(image, images))
        for _, name, image, label in found
    )
    notes = [f"labels: *_{ending}"]
    if unlabelled:
        notes.append(f"{unlabelled} test frames have no labels: left out")
    return Source(classes, frames, tuple(notes), tuple(problems))


def _by_ids() -> tuple[tuple[SourceClass, ...], Any]:
    classes = tuple(
        SourceClass(name, id_, colour, ignore=name in _VOID)
        for name, id_, _, colour in _CITYSCAPES
        if id_ >= 0
    )
    return classes, partial(read_ids, by_id(classes))


def _by_train_ids() -> tuple[tuple[SourceClass, ...], Any]:
    return TRAIN_CLASSES, partial(read_ids, by_id(TRAIN_CLASSES))


def _by_colours() -> tuple[tuple[SourceClass, ...], Any]:
    classes = tuple(
        SourceClass(name, id_, colour, ignore=name in _VOID)
        for name, id_, _, colour in _CITYSCAPES
        if id_ >= 0
    )
    return classes, partial(read_colours, by_colour(classes))


def _by_level3() -> tuple[tuple[SourceClass, ...], Any]:
    classes = (
        *(SourceClass(name, index) for index, name in enumerate(_IDD_LEVEL3)),
        SourceClass("unlabeled", 255, ignore=True),
    )
    return classes, partial(read_ids, by_id(classes))


def _by_polygons() -> tuple[tuple[SourceClass, ...], Any]:
    return (), None


_Reader = Callable[[], tuple[tuple[SourceClass, ...], Any]]
_ENDINGS: dict[str, _Reader] = {
    "labelIds.png": _by_ids,
    "labelTrainIds.png": _by_train_ids,
    "color.png": _by_colours,
    "polygons.json": _by_polygons,
}
_IDD_ENDINGS: dict[str, _Reader] = {
    "labellevel3Ids.png": _by_level3,
    "polygons.json": _by_polygons,
}


def _read_polygons(index_of: Mapping[str, int], label: Path, size: tuple[int, int]) -> Shapes:
    values = read_object(label)
    shapes = []
    for entry in _objects(label):
        try:
            ring = np.asarray(entry["polygon"], np.float64).reshape(-1, 2)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{label}: {entry['label']}: not a polygon: {error}") from error
        if len(ring) >= 3 and not entry.get("deleted"):
            shapes.append(Shape(index_of[_plain(entry["label"])], (ring,)))
    height, width = values.get("imgHeight"), values.get("imgWidth")
    known = isinstance(height, int) and isinstance(width, int)
    return Shapes(shapes, (height, width) if known else None)  # type: ignore[arg-type]


def _objects(label: Path) -> list[dict[str, Any]]:
    objects = read_object(label).get("objects")
    if not isinstance(objects, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("label"), str) for entry in objects
    ):
        raise InputError(f"{label}: expected a list 'objects' with a label each")
    return objects


def _plain(name: str) -> str:
    known = {entry[0] for entry in _CITYSCAPES}
    group = _DRAWN_OVER.fullmatch(name)
    return group[1] if group and group[1] in known else name


def _split(image: Path, images: Path) -> str:
    return split_called(image.relative_to(images).parts[0]) or ""


def _layout(path: Path) -> tuple[Path, Path] | None:
    images = next((path / name for name in _IMAGES if (path / name).is_dir()), None)
    labels = next((path / name for name in _LABELS if (path / name).is_dir()), None)
    return (images, labels) if images and labels else None


def _is_idd(layout: tuple[Path, Path]) -> bool:
    """IDD numbers its drives, and its frames within a drive; Cityscapes names cities."""
    first = next(iter(image_files(layout[0])), None)
    return first is not None and first.parent.name.isdigit()
