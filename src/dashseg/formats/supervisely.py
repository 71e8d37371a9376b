"""Supervisely: meta.json, and for each data set img/ and ann/ with one JSON an image.

https://docs.supervisely.com/customization-and-integration/00_ann_format_navi. Objects are drawn in
the order in which they are listed; polygons have holes.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dashseg.errors import InputError
from dashseg.files import files_below
from dashseg.formats.drawing import rectangle
from dashseg.formats.files_of import read_object, split_of
from dashseg.formats.source import (
    ReadOptions,
    Shape,
    Shapes,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.images import MAX_BYTES, decode_pixels, image_files
from dashseg.labels import parse_colour

_META = "meta.json"
_NOT_AREAS = ("line", "point", "graph", "cuboid")


def recognises(path: Path) -> str | None:
    """Why a folder is Supervisely's, or None."""
    has = (path / _META).is_file() and any(f.parent.name == "ann" for f in files_below(path))
    return f"{_META} and ann/*.json" if has else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: no meta.json, or of another form.
    """
    meta = path / _META
    listed = read_object(meta).get("classes")
    if not isinstance(listed, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("title"), str) for entry in listed
    ):
        raise InputError(f"{meta}: expected a list 'classes' with a title each")
    classes = tuple(
        SourceClass(
            entry["title"],
            entry.get("id"),
            parse_colour(entry["color"], f"{meta}: ") if "color" in entry else None,
        )
        for entry in listed
    )
    index_of = {entry.name: index for index, entry in enumerate(classes)}
    frames, problems = [], []
    folders = sorted({parent for f in files_below(path) for parent in f.parents})
    for folder in (folder for folder in folders if folder.name == "img"):
        for image in image_files(folder):
            beside = folder.parent / "ann"
            relative = image.relative_to(folder)
            file = next(
                (
                    f
                    for f in (
                        beside / f"{relative}.json",
                        beside / f"{relative.with_suffix('')}.json",
                    )
                    if f.is_file()
                ),
                None,
            )
            if file is None:
                problems.append(f"{image}: it has no annotation in {beside}")
                continue
            place = folder.parent.relative_to(path) / relative.with_suffix("")
            split, name = split_of(PurePosixPath(place.as_posix()))
            frames.append(SourceFrame(name, image, partial(_read, file, index_of), split))
    return Source(classes, tuple(frames), problems=tuple(problems))


def _read(file: Path, index_of: Mapping[str, int], frame: tuple[int, int]) -> Shapes:
    values = read_object(file)
    size, objects = values.get("size"), values.get("objects")
    if not isinstance(objects, list):
        raise InputError(f"{file}: expected a list 'objects'")
    shapes = []
    for number, entry in enumerate(objects):
        try:
            name = entry["classTitle"]
            if name not in index_of:
                raise InputError(f"class '{name}' is not in {_META}")
            shape = _shape(entry, index_of[name])
        except InputError as error:
            raise InputError(f"{file}: object {number}: {error}") from error
        except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
            raise InputError(f"{file}: object {number} cannot be read: {error!r}") from error
        if shape is not None:
            shapes.append(shape)
    known = isinstance(size, dict) and isinstance(size.get("height"), int)
    return Shapes(shapes, (size["height"], size["width"]) if known else None)  # type: ignore[index]


def _shape(entry: Mapping[str, Any], index: int) -> Shape | None:
    kind = entry.get("geometryType") or ("bitmap" if entry.get("bitmap") else "polygon")
    if kind in _NOT_AREAS:
        return None
    if kind == "bitmap":
        bitmap = entry["bitmap"]
        unpacker = zlib.decompressobj()
        pixels = decode_pixels(
            unpacker.decompress(base64.b64decode(bitmap["data"]), MAX_BYTES), "its bitmap"
        )
        inside = pixels if pixels.ndim == 2 else pixels[..., -1]  # alpha, if there is one
        left, top = bitmap["origin"]
        return Shape(index, mask=inside > 0, at=(int(top), int(left)))
    exterior = np.asarray(entry["points"]["exterior"], np.float64).reshape(-1, 2)
    if kind == "rectangle":
        return Shape(index, (rectangle(*exterior[0], *exterior[1]),))
    if kind != "polygon":
        raise InputError(f"geometryType {kind!r} is none that covers an area")
    holes = tuple(
        np.asarray(ring, np.float64).reshape(-1, 2) for ring in entry["points"].get("interior", [])
    )
    return Shape(index, (exterior,), holes)
