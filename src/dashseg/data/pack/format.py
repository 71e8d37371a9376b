"""The files of a pack: pack.json, and two arrays for each frame size, or three (`predictions`).

images-437x582.npy   uint8 (N, 437, 582, 3) RGB
labels-437x582.npy   uint8 (N, 437, 582), 255 = ignore
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PositiveInt, TypeAdapter

from dashseg.data.pack.predictions import Predictions
from dashseg.errors import InputError
from dashseg.files import join_inside, read_json, write_json
from dashseg.labels import Classes, Image, Label, hex_colour

INDEX = "pack.json"
_SCHEMA = 1
_MAX_INDEX = 512 << 20  # bytes: a million frames

_SUSPICIOUS = re.compile(r"^$|^/|\.\.|[\\:\0]")  # `join_inside` for every name is slow

Natural = Annotated[int, Field(ge=0)]
Stamp = tuple[int, int, int, int]  # of a frame's files: image's size, its mtime in ns, mask's


class Row(NamedTuple):
    """The position of one frame in the arrays, and its source files."""

    name: str
    array: Natural  # which of the pack's sizes
    row: Natural  # in the arrays of that size
    native: tuple[int, int]  # H, W of the frame before it was packed
    checksum: int  # `checksum` of image and label
    # For frames from files: image and mask below the source's root, and their state when packed.
    files: tuple[str, str] | None = None
    stamp: Stamp | None = None


@dataclass(frozen=True)
class Source:
    """The data set that was packed."""

    root: str  # absolute
    kind: str
    fingerprint: str
    # Folder below the root -> number of image files: it shows added and removed files.
    folders: dict[str, int]


@dataclass(frozen=True)
class Index:
    """pack.json."""

    classes: Classes
    sizes: tuple[tuple[PositiveInt, PositiveInt], ...]  # H, W of each pair of arrays
    rows: tuple[Row, ...]  # in the source's order
    splits: dict[str, list[str]]  # the source's split: names in "train" and in "val"
    resized: bool  # whether any frame is not at its native size
    filter: str  # how images were resized
    source: Source
    predictions: Predictions | None = None  # a teacher's


def is_pack(root: Path) -> bool:
    return (root / INDEX).is_file()


def array_file(folder: Path, what: str, size: tuple[int, int]) -> Path:
    """The file of "images", "labels" or "predictions" of a size."""
    return folder / f"{what}-{size[0]}x{size[1]}.npy"


def checksum(image: Image, label: Label) -> int:
    """CRC-32 over the pixels of both: 3 GB/s, SHA-256 1.4 GB/s."""
    return zlib.crc32(label.data, zlib.crc32(image.data))


def write_index(folder: Path, index: Index) -> None:
    write_json(
        folder / INDEX,
        {
            "schema": _SCHEMA,
            "classes": {
                "names": index.classes.names,
                "colours": list(map(hex_colour, index.classes.colours)),
            },
            "sizes": index.sizes,
            "resized": index.resized,
            "filter": index.filter,
            "source": vars(index.source),
            "splits": index.splits,
            "columns": Row._fields,
            "frames": [list(row) for row in index.rows],
        }
        | ({} if index.predictions is None else {"predictions": vars(index.predictions)}),
    )


def read_index(folder: Path) -> Index:
    """Read pack.json.

    Raises:
        InputError: not readable, of another schema, damaged, or a frame's name leads elsewhere.
    """
    path = folder / INDEX
    values = read_json(path, _MAX_INDEX)
    if not isinstance(values, dict) or values.get("schema") != _SCHEMA:
        found = values.get("schema") if isinstance(values, dict) else None
        raise InputError(f"{path}: schema {found}; this version of dashseg reads {_SCHEMA}")
    try:
        index = _index(values)
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(f"{path}: damaged: pack the data again ({error!r})") from error
    for row in index.rows:
        if _SUSPICIOUS.search(row.name):
            join_inside(folder, row.name)
    return index


def _index(values: dict[str, Any]) -> Index:
    colours = [tuple(bytes.fromhex(colour[1:])) for colour in values["classes"]["colours"]]
    found = {
        **values,
        "classes": {"names": values["classes"]["names"], "colours": colours},
        "rows": values["frames"],
        "splits": {side: values["splits"][side] for side in ("train", "val")},
    }
    index = TypeAdapter(Index).validate_python(found)
    places = {(row.array, row.row) for row in index.rows if row.array < len(index.sizes)}
    if not len(places) == len({row.name for row in index.rows}) == len(index.rows):
        raise ValueError("frames that share a name or a place, or that are in no array")
    if (taught := index.predictions) is not None:
        if not len(taught.shapes) == len(taught.checksums) == len(index.sizes):
            raise ValueError("predictions of other sizes than the frames'")
        if any(row >= len(taught.checksums[array]) for array, row in places):
            raise ValueError("frames without a prediction")
    return index
