"""Your own frames: images/ and masks/ with the same names, and palette.yaml for the classes.

    # palette.yaml
    classes:
      road: "#402020"          # in id order; a colour as "#rrggbb" or [r, g, b]
      car: [0, 255, 102]
    ignore: ["#000000"]        # optional: colours (or values) of pixels to ignore
    masks: colour              # or "id": 8-bit grey masks that hold 0, 1, …
    # ids: [0, 255]            # optional, for "id": the values of the classes, in their order

Sub-folders are part of a frame's name. Folders of images/ with a known name (`SPLIT_FOLDERS`) are
the split; without any, one frame in ten, chosen by its name, is held out.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dashseg.config import DataConfig
from dashseg.config.plain_yaml import read_yaml
from dashseg.data.dataset import FileDataset, by_name, pair_files
from dashseg.data.folder_pair import FolderPair
from dashseg.errors import InputError
from dashseg.files import files_below
from dashseg.images import is_image_file, read_pixels
from dashseg.labels import IGNORE, UNKNOWN, Classes, Colour, hex_colour, parse_byte, parse_colour

PALETTE = "palette.yaml"
SPLIT_FOLDERS = {  # in images/, in any case
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

_FOLDERS = ("images", "masks")
_KEYS = ("classes", "ignore", "masks", "ids")
_LOOKED_AT = 20  # masks whose colours a starter palette shows
_SHOWN = 40  # colours in it: a mask with more is antialiased

_Stored = TypeVar("_Stored", Colour, int)


def recognises(root: Path) -> bool:
    return os.path.lexists(root / PALETTE) or all((root / name).is_dir() for name in _FOLDERS)


def folders(root: Path, config: DataConfig) -> list[FolderPair]:
    """images/ and masks/.

    Raises:
        InputError: one is missing; no palette or a wrong one.
    """
    for folder in _FOLDERS:
        if not (root / folder).is_dir():
            raise InputError(f"{root / folder}: no such folder; this layout has images/ and masks/")
    if not os.path.lexists(root / PALETTE):
        raise InputError(
            f"{root}: {PALETTE} is missing, which lists the classes and their colours. By the"
            f" masks it is (name the classes): {starter_palette(root / 'masks')}"
        )
    classes = read_palette(root / PALETTE)
    return [FolderPair(root / "images", root / "masks", classes, deep=True)]


def find(root: Path, config: DataConfig) -> FileDataset:
    """All frames.

    Raises:
        InputError: no palette or a wrong one, or images and masks do not pair up.
    """
    (pair,) = folders(root, config)
    images, masks = by_name(pair.image_files()), by_name(pair.mask_files())
    return FileDataset(str(root), "folder", "all", pair.classes, pair_files(root, images, masks))


def split_called(name: str) -> str | None:
    """The split that a folder or list of this name stands for: "train", "val", "test" or None."""
    plain = name.casefold()
    return next((side for side, known in SPLIT_FOLDERS.items() if plain in known), None)


def splits(names: Sequence[str], config: DataConfig) -> dict[str, set[str]]:
    """The folders in images/ that `SPLIT_FOLDERS` lists; without any, one name in ten by its CRC.

    Without a folder for validation, the test frames are held out; they are never trained on. Where
    a folder of another name lies beside a single known one, both sides are empty: nobody knows what
    it is for.
    """
    sides: dict[str, set[str]] = {side: set() for side in (*SPLIT_FOLDERS, "")}
    for name in names:
        folder, slash, _ = name.partition("/")
        sides[(split_called(folder) or "") if slash else ""].add(name)
    other, held_out = sides.pop(""), sides["val"] or sides["test"]
    if sides["train"] and held_out:
        return {side: found for side, found in {**sides, "val": held_out}.items() if found}
    if (sides["train"] or held_out) and other:
        return {"train": set(), "val": set()}
    if held_out:
        return {"train": set(), "val": held_out}
    val = {name for name in names if zlib.crc32(name.encode()) % 10 == 0}
    return {"train": set(names) - val, "val": val}


def read_palette(path: Path, others: Sequence[str] = ()) -> Classes:
    """Read a palette file (see this module's first lines).

    Args:
        others: keys that may stand in the file too, for somebody else to read.

    Raises:
        InputError: unreadable, not YAML, or not a palette.
    """
    try:
        values = read_yaml(path, as_text=True)
    except InputError as error:
        raise InputError(f"{error}; it lists the classes and their colours") from error
    try:
        return _parse_palette(values, others)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _parse_palette(values: Any, others: Sequence[str]) -> Classes:
    if not isinstance(values, dict) or not isinstance(values.get("classes"), dict):
        raise InputError("expected a mapping 'classes' of names to colours")
    known = (*_KEYS, *others)
    stray = [key for key in values if key not in known]
    if stray:
        raise InputError(f"unknown key '{stray[0]}'; known: {', '.join(known)}")
    stored_as = values.get("masks", "colour")
    if stored_as not in ("colour", "id"):
        raise InputError(f"masks is '{stored_as}'; it can be colour or id")
    names = tuple(values["classes"])
    if "" in names:
        raise InputError("a class has no name")
    colours = tuple(map(parse_colour, values["classes"].values()))
    ignored, ids = values.get("ignore") or [], values.get("ids")
    if not isinstance(ignored, list):
        ignored = [ignored]
    if stored_as == "colour":
        if ids is not None:
            raise InputError("ids is for masks: id")
        return Classes(names, colours, aliases=_ignored(map(parse_colour, ignored), colours, names))
    if ids is None:
        own, values_of = list(range(len(names))), {}
    else:
        own = list(map(parse_byte, ids)) if isinstance(ids, list) else []
        if len(set(own)) != len(names) or len(own) != len(names):
            raise InputError(f"ids: {len(names)} classes need a list of as many different values")
        # A value that merely equals a class's place in the list is no class.
        values_of = dict.fromkeys(range(len(names)), UNKNOWN)
        values_of |= {value: class_id for class_id, value in enumerate(own)}
    values_of |= _ignored(map(parse_byte, ignored), own, names)
    return Classes(names, colours, stored_as="id", id_aliases=values_of)


def _ignored(
    ignored: Iterable[_Stored], own: Sequence[_Stored], names: Sequence[str]
) -> dict[_Stored, int]:
    found = dict.fromkeys(ignored, IGNORE)
    for stored, name in zip(own, names, strict=True):
        if stored in found:
            shown = hex_colour(stored) if isinstance(stored, tuple) else stored
            raise InputError(f"{shown} is to be ignored, and is the class '{name}'")
    return found


def starter_palette(masks: Path) -> str:
    """A palette in one line, from the colours (or grey values) of some of the masks."""
    counts: Counter[int] = Counter()
    grey = False
    files = [path for path in files_below(masks) if is_image_file(path)]
    for path in files[:: max(1, len(files) // _LOOKED_AT)]:
        with suppress(InputError):
            pixels = read_pixels(path)
            grey = pixels.ndim == 2
            found = pixels if grey else pixels[..., :3].astype(int) @ (1 << 16, 1 << 8, 1)
            values, pixel_counts = np.unique(found, return_counts=True)
            counts.update(dict(zip(values.tolist(), pixel_counts.tolist(), strict=True)))
    colours, more = [value for value, _ in counts.most_common(_SHOWN)], ""
    if grey:
        # Of two values, mostly 0 and 255, each is a class; else 255 is ignored.
        own = sorted(value for value in colours if value != IGNORE or len(colours) == 2)
        colours = [number * 0x9E3779 % (1 << 24) for number in range(len(own))]  # all different
        more = ", masks: id" + (f", ids: {own}" if own != [*range(len(own))] else "")
    listed = ", ".join(f'class-{i}: "#{colour:06x}"' for i, colour in enumerate(colours))
    return f"{{classes: {{{listed}}}{more}}}"
