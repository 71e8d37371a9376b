"""YOLO's segmentation labels: images/ and labels/*.txt, one polygon a line, and data.yaml.

https://docs.ultralytics.com/datasets/segment. A line is the class's number and x, y of each corner,
as shares of the image's size. There is no background class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from dashseg.config.plain_yaml import read_yaml
from dashseg.errors import InputError
from dashseg.files import files_below, join_inside, read_text, write_text
from dashseg.formats.files_of import split_of
from dashseg.formats.regions import bridged
from dashseg.formats.source import (
    ReadOptions,
    Shape,
    Shapes,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.formats.writing import LabelledFrame, WriteOptions, place_image, regions
from dashseg.images import image_files
from dashseg.labels import IGNORE


def recognises(path: Path) -> str | None:
    """Why a folder is YOLO's, or None."""
    if not path.is_dir():
        return None
    file = _config(path)
    if file is None or not any(
        f.suffix == ".txt" and "labels" in f.relative_to(path).parts for f in files_below(path)
    ):
        return None
    return f"{file.name} with names, and labels/*.txt"


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: no data.yaml with names, or no labels.
    """
    file = _config(path)
    if file is None:
        raise InputError(f"{path}: no YAML file with the names of the classes")
    classes = _names(file)
    frames = []
    problems = []
    for image in image_files(path):
        relative = image.relative_to(path)
        if "images" not in relative.parts:
            continue
        at = len(relative.parts) - 1 - relative.parts[::-1].index("images")
        parts = relative.parts[:at], relative.parts[at + 1 :]
        text = path.joinpath(*parts[0], "labels", *parts[1]).with_suffix(".txt")
        if not text.is_file():
            problems.append(f"{image}: no labels at {text}")
            continue
        plain = PurePosixPath(*parts[0], *parts[1]).with_suffix("")
        split, name = split_of(plain)
        frames.append(SourceFrame(name, image, partial(_read, text, len(classes)), split))
    if not frames and not problems:
        raise InputError(f"{path}: no images below a folder images/")
    return Source(
        classes,
        tuple(frames),
        ("this format has no background class",),
        tuple(problems),
        ordered=False,
    )


def write_frame(out: Path, frame: LabelledFrame, options: WriteOptions) -> str:
    """Write the image and its lines; returns the split."""
    split = frame.split or "train"
    place_image(out / "images" / split, frame, options)
    height, width = frame.label.shape
    lines = []
    for region in regions(frame, options):
        if region.class_id != IGNORE:
            shares = (bridged(region) / (width, height)).reshape(-1)
            lines.append(f"{region.class_id} " + " ".join(f"{share:.7g}" for share in shares))
    path = join_inside(out / "labels" / split, f"{frame.name}.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(line + "\n" for line in lines))
    return split


def finish(out: Path, records: Iterator[str], options: WriteOptions) -> None:
    """Write data.yaml."""
    splits = set(records)
    values: dict[str, Any] = {split: f"images/{split}" for split in sorted(splits)}
    values["names"] = dict(enumerate(options.classes.names))
    write_text(out / "data.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _read(text: Path, classes: int, frame: tuple[int, int]) -> Shapes:
    height, width = frame
    shapes = []
    for number, line in enumerate(read_text(text).splitlines(), start=1):
        values = line.split()
        if not values:
            continue
        try:
            index = int(values[0])
            corners = np.array([float(value) for value in values[1:]])
        except ValueError as error:
            raise InputError(f"{text}: line {number}: {error}") from error
        if not 0 <= index < classes:
            raise InputError(f"{text}: line {number}: class {index}; there are {classes}")
        if len(corners) == 4:
            raise InputError(f"{text}: line {number}: a box; labels for segmentation are polygons")
        if len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
            raise InputError(f"{text}: line {number}: {len(corners)} numbers are no polygon")
        if np.abs(corners).max() > 1.5:
            raise InputError(f"{text}: line {number}: corners are shares of the size, 0 to 1")
        shapes.append(Shape(index, (corners.reshape(-1, 2) * (width, height),)))
    return Shapes(shapes, None)


def _config(path: Path) -> Path | None:
    files = [*sorted(path.glob("*.yaml")), *sorted(path.glob("*.yml"))]
    return next((file for file in files if _has_names(file)), None)


def _has_names(file: Path) -> bool:
    return any(line.startswith("names") for line in read_text(file).splitlines())


def _names(file: Path) -> tuple[SourceClass, ...]:
    values = read_yaml(file, as_text=True)
    names = values.get("names") if isinstance(values, dict) else None
    if isinstance(names, dict):
        try:
            numbered = sorted((int(key), str(name)) for key, name in names.items())
        except ValueError:
            raise InputError(f"{file}: names: expected numbers and names") from None
        if [number for number, _ in numbered] != list(range(len(numbered))):
            raise InputError(f"{file}: names: the numbers have gaps")
        names = [name for _, name in numbered]
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise InputError(f"{file}: names: expected a list of class names")
    return tuple(SourceClass(str(name), index) for index, name in enumerate(names))
