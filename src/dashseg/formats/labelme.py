"""LabelMe: a JSON file for each image.

https://github.com/wkentaro/labelme. Shapes are drawn in the order in which they are listed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dashseg.errors import InputError
from dashseg.files import files_below, join_inside, write_text
from dashseg.formats.drawing import ellipse, rectangle
from dashseg.formats.files_of import read_object, split_of
from dashseg.formats.source import (
    ReadOptions,
    Shape,
    Shapes,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.formats.writing import LabelledFrame, WriteOptions, place_image, regions
from dashseg.images import decode_pixels
from dashseg.labels import IGNORE

_NOT_AREAS = ("line", "linestrip", "point", "points")
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png"}


def recognises(path: Path) -> str | None:
    """Why a folder is LabelMe's, or None."""
    if not path.is_dir():
        return None
    first = next(iter(_files(path)), None)
    if first is None:
        return None
    try:
        values = read_object(first)
    except InputError:
        return None
    return f"{first.name} lists shapes and imagePath" if _is_labelme(values) else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: no JSON file of LabelMe's.
    """
    files = _files(path)
    classes: dict[str, SourceClass] = {}
    found: list[tuple[Path, str, str, Path | bytes, str]] = []
    problems: list[str] = []
    lines = 0
    for file in files:
        try:
            values = read_object(file)
            if not _is_labelme(values):
                continue
            shapes = _shapes(values, file)
            image, suffix = _image(values, file)
        except InputError as error:
            problems.append(str(error))
            continue
        lines += sum(shape.get("shape_type") in _NOT_AREAS for shape in shapes)
        for shape in shapes:
            if shape.get("shape_type") not in _NOT_AREAS:
                classes.setdefault(str(shape["label"]), SourceClass(str(shape["label"])))
        name = file.relative_to(path if path.is_dir() else path.parent).with_suffix("")
        split, rest = split_of(PurePosixPath(name.as_posix()))
        found.append((file, split, rest, image, suffix))
    if not found and not problems:
        raise InputError(f"{path}: no JSON file with shapes and imagePath")
    index_of = {name: index for index, name in enumerate(classes)}
    frames = tuple(
        SourceFrame(name, image, partial(_read, file, index_of), split, suffix)
        for file, split, name, image, suffix in found
    )
    notes = []
    if lines:
        notes.append(f"{lines} lines and points cover no area: left out")
    return Source(tuple(classes.values()), frames, tuple(notes), tuple(problems))


def write_frame(out: Path, frame: LabelledFrame, options: WriteOptions) -> None:
    """Write the image and its JSON."""
    folder = out / frame.split if frame.split else out
    place_image(folder, frame, options)
    height, width = frame.label.shape
    names = options.classes.names
    shapes: list[dict[str, Any]] = [
        {
            "label": "ignore" if region.class_id == IGNORE else names[region.class_id],
            "points": [[_number(x), _number(y)] for x, y in region.ring],
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for region in regions(frame, options)
    ]
    values = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": PurePosixPath(frame.image_name).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    path = join_inside(folder, f"{frame.name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def finish(out: Path, records: Iterator[None], options: WriteOptions) -> None:
    """Write labels.txt, which `labelme --labels` takes."""
    for _ in records:
        pass
    write_text(
        out / "labels.txt", "".join(f"{name}\n" for name in (*options.classes.names, "ignore"))
    )


def _files(path: Path) -> list[Path]:
    found = files_below(path) if path.is_dir() else [path]
    return [file for file in found if file.suffix.lower() == ".json"]


def _read(file: Path, index_of: Mapping[str, int], frame: tuple[int, int]) -> Shapes:
    values = read_object(file)
    size = _size(values)
    shapes: list[Shape] = []
    for number, shape in enumerate(_shapes(values, file)):
        if shape.get("shape_type") in _NOT_AREAS:
            continue
        try:
            shapes.append(_shape(shape, index_of[str(shape["label"])]))
        except (ValueError, TypeError, IndexError, binascii.Error) as error:
            raise InputError(f"{file}: shape {number} cannot be read: {error}") from error
    return Shapes(shapes, size)


def _shape(shape: Mapping[str, Any], index: int) -> Shape:
    points = np.asarray(shape.get("points"), np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("points are not a list of [x, y]")
    kind = shape.get("shape_type") or "polygon"
    if kind in ("polygon", "oriented_rectangle"):
        return Shape(index, (points,))
    if len(points) < 2:
        raise ValueError(f"a {kind} needs two points")
    (left, top), (right, bottom) = points[0], points[1]
    if kind == "rectangle":
        return Shape(index, (rectangle(left, top, right, bottom),))
    if kind == "circle":
        radius = float(np.hypot(right - left, bottom - top))
        return Shape(index, (ellipse(left, top, radius, radius),))
    if kind == "mask":
        pixels = decode_pixels(base64.b64decode(str(shape.get("mask"))), "its mask")
        inside = pixels if pixels.ndim == 2 else pixels[..., 0]
        return Shape(index, mask=inside > 0, at=(round(top), round(left)))
    raise ValueError(f"shape_type {kind!r} is none that LabelMe draws areas with")


def _image(values: Mapping[str, Any], file: Path) -> tuple[Path | bytes, str]:
    """The image file beside the JSON, else the one embedded in it."""
    name = str(values.get("imagePath") or "").replace("\\", "/")
    for candidate in (name, PurePosixPath(name).name):
        if candidate and (file.parent / candidate).is_file():
            return file.parent / candidate, ""
    data = values.get("imageData")
    if not isinstance(data, str):
        raise InputError(f"{file}: its image {name or '(no imagePath)'} is missing")
    try:
        image = base64.b64decode(data)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{file}: imageData is not base64: {error}") from error
    suffix = next((s for start, s in _SUFFIXES.items() if image.startswith(start)), None)
    if suffix is None:
        raise InputError(f"{file}: imageData is neither a JPEG nor a PNG")
    return image, suffix


def _shapes(values: Mapping[str, Any], file: Path) -> Sequence[Mapping[str, Any]]:
    shapes = values.get("shapes")
    if not isinstance(shapes, list) or not all(
        isinstance(shape, dict) and "label" in shape for shape in shapes
    ):
        raise InputError(f"{file}: expected a list 'shapes' of objects with a label")
    return shapes


def _size(values: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = values.get("imageHeight"), values.get("imageWidth")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _is_labelme(values: Mapping[str, Any]) -> bool:
    return "shapes" in values and ("imagePath" in values or "imageData" in values)


def _number(value: float) -> float:
    return round(float(value), 2)
