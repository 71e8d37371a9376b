"""Your own frames: images/ and masks/ with the same names, and palette.yaml for the classes.

    # palette.yaml
    classes:
      road: "#402020"          # in id order; a colour as #rrggbb or [r, g, b]
      car: [0, 255, 102]
    ignore: ["#000000"]        # optional: colours (or ids) of pixels to ignore
    masks: colour              # or "id": 8-bit grey masks that hold 0, 1, …

Sub-folders are part of a frame's name. If there are images/train and images/val, they are the
split; else one frame in ten, chosen by its name, is held out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashseg.config import DataConfig
from dashseg.config.plain_yaml import read_yaml
from dashseg.data.dataset import FileDataset, by_name, pair_files
from dashseg.data.folder_pair import FolderPair
from dashseg.errors import InputError
from dashseg.labels import IGNORE, Classes, Colour

PALETTE = "palette.yaml"


def recognises(root: Path) -> bool:
    return (root / PALETTE).is_file()


def folders(root: Path, config: DataConfig) -> list[FolderPair]:
    """images/ and masks/.

    Raises:
        InputError: one is missing; no palette or a wrong one.
    """
    for folder in ("images", "masks"):
        if not (root / folder).is_dir():
            raise InputError(f"{root / folder}: no such folder; this layout has images/ and masks/")
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


def splits(names: Sequence[str], config: DataConfig) -> dict[str, set[str]]:
    """images/train and images/val if both exist, else one name in ten by its CRC."""
    folders = {
        side: {name for name in names if name.startswith(f"{side}/")} for side in ("train", "val")
    }
    if all(folders.values()):
        return folders
    val = {name for name in names if zlib.crc32(name.encode()) % 10 == 0}
    return {"train": set(names) - val, "val": val}


def read_palette(path: Path) -> Classes:
    """Read a palette file (see this module's first lines).

    Raises:
        InputError: unreadable, not YAML, or not a palette.
    """
    try:
        values = read_yaml(path)
    except InputError as error:
        raise InputError(f"{error}; it lists the classes and their colours") from error
    if not isinstance(values, dict) or not isinstance(values.get("classes"), dict):
        raise InputError(f"{path}: expected a mapping 'classes' of names to colours")
    stray = [key for key in values if key not in ("classes", "ignore", "masks")]
    if stray:
        raise InputError(f"{path}: unknown key '{stray[0]}'; known: classes, ignore, masks")
    stored_as = values.get("masks", "colour")
    if stored_as not in ("colour", "id"):
        raise InputError(f"{path}: masks is '{stored_as}'; it can be colour or id")
    ignored = values.get("ignore", [])
    if not isinstance(ignored, list):
        raise InputError(f"{path}: ignore is {ignored!r}; it is a list of colours or ids")
    names = tuple(str(name) for name in values["classes"])
    colours = tuple(_colour(value, path) for value in values["classes"].values())
    try:
        if stored_as == "id":
            ids = {_value(value, path): IGNORE for value in ignored}
            return Classes(names, colours, stored_as="id", id_aliases=ids)
        return Classes(names, colours, aliases={_colour(value, path): IGNORE for value in ignored})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _colour(value: Any, path: Path) -> Colour:
    if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
        try:
            red, green, blue = bytes.fromhex(value[1:])
            return red, green, blue
        except ValueError:
            pass
    if isinstance(value, list) and len(value) == 3 and all(_is_byte(part) for part in value):
        return value[0], value[1], value[2]
    raise InputError(f'{path}: {value!r} is not a colour; write "#rrggbb" or [r, g, b]')


def _value(value: Any, path: Path) -> int:
    if not _is_byte(value):
        raise InputError(f"{path}: ignore: {value!r} is not an id from 0 to 255")
    return int(value)


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= 255
