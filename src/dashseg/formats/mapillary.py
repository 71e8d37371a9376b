"""Mapillary Vistas 1.2 and 2.0: config.json, and PNGs whose palette indices are ids.

    config.json or config_v2.0.json
    training/images/NAME.jpg     training/labels/NAME.png, or training/v2.0/labels/NAME.png

https://www.mapillary.com/dataset/vistas
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.formats.files_of import by_stem, read_object
from dashseg.formats.source import (
    Raster,
    ReadOptions,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.images import decode_any_depth, palette_indices, read_bytes

_CONFIGS = ("config_v2.0.json", "config_v1.2.json", "config.json")  # 2.0's release has both


def recognises(path: Path) -> str | None:
    """Why a folder is Mapillary Vistas, or None."""
    config = _config(path)
    if config is None:
        return None
    try:
        _classes(config)
    except InputError:
        return None
    return f"{config.name} lists labels with readable names"


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: no config.json, or of another form.
    """
    config = _config(path)
    if config is None:
        raise InputError(f"{path}: none of {', '.join(_CONFIGS)}")
    classes = _classes(config)
    version = "v1.2" if config.name == "config_v1.2.json" else "v2.0"
    frames, problems = [], []
    for folder in sorted(entry for entry in path.iterdir() if (entry / "images").is_dir()):
        split = split_called(folder.name) or ""
        labels = next(
            (f for f in (folder / version / "labels", folder / "labels") if f.is_dir()), None
        )
        if labels is None:
            continue  # testing/ has images alone
        masks = by_stem(labels)
        images = by_stem(folder / "images")
        for name, image in images.items():
            if name in masks:
                label = partial(_read, masks[name], len(classes))
                frames.append(SourceFrame(name, image, label, split))
            else:
                problems.append(f"{image}: it has no label in {labels}")
    return Source(classes, tuple(frames), (f"classes: {config.name}",), tuple(problems))


def _config(path: Path) -> Path | None:
    if not path.is_dir() or not any((f / "images").is_dir() for f in path.iterdir()):
        return None
    return next((path / name for name in _CONFIGS if (path / name).is_file()), None)


def _classes(config: Path) -> tuple[SourceClass, ...]:
    labels = read_object(config).get("labels")
    try:
        if not isinstance(labels, list):
            raise TypeError
        return tuple(
            SourceClass(
                entry["name"],
                index,
                tuple(entry["color"][:3]),
                ignore=not entry["evaluate"] and entry["readable"] in ("Unlabeled", "Ego Vehicle"),
            )
            for index, entry in enumerate(labels)
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{config}: expected 'labels' with name, readable and color") from error


def _read(mask: Path, classes: int, size: tuple[int, int]) -> Raster:
    data = read_bytes(mask)
    if data[25:26] == b"\x03":  # PNG's colour type: a palette
        ids, _ = palette_indices(data)
    else:
        ids = decode_any_depth(data, str(mask))
    if ids.ndim != 2 or int(ids.max(initial=0)) >= classes:
        raise InputError(f"{mask}: expected a palette or grey PNG of ids below {classes}")
    return Raster(ids.astype(np.uint16))
