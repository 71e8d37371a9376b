"""Masks in SegmentationClass/: CVAT's "Segmentation mask 1.1", and Pascal VOC.

    labelmap.txt                 CVAT: name:r,g,b:parts:actions, one class a line
    SegmentationClass/*.png      the masks, in colours or with a palette
    JPEGImages/*.jpg             the images
    ImageSets/Segmentation/*.txt names, by split
    class_names.txt              VOC: __ignore__, then a class a line; absent: VOC's own 21

https://docs.cvat.ai/docs/dataset_management/formats/format-smask/,
http://host.robots.ox.ac.uk/pascal/VOC/voc2012/
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.files import join_inside, write_text
from dashseg.formats.files_of import by_stem, read_lines
from dashseg.formats.masks import by_colour, read_colours
from dashseg.formats.source import (
    UNLABELLED,
    ReadOptions,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.formats.writing import LabelledFrame, WriteOptions, place_image
from dashseg.images import encode_png
from dashseg.labels import IGNORE, Colour

_MASKS, _IMAGES, _LABELMAP = "SegmentationClass", "JPEGImages", "labelmap.txt"
_NAMES, _IGNORED = "class_names.txt", "__ignore__"  # as labelme2voc writes them
_LISTS = "ImageSets/Segmentation"
_VOID: Colour = (224, 224, 192)  # VOC's border, which does not count
_VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip


def voc_colour(index: int) -> Colour:
    """VOC's colour of a class: the bits of its number, spread over red, green and blue."""
    red = green = blue = 0
    for bit in range(7, 7 - 8, -1):
        red |= (index & 1) << bit
        green |= (index >> 1 & 1) << bit
        blue |= (index >> 2 & 1) << bit
        index >>= 3
    return red, green, blue


def recognises_cvat(path: Path) -> str | None:
    """Why a folder is CVAT's, or None."""
    if (path / _MASKS).is_dir() and (path / _LABELMAP).is_file():
        return f"{_LABELMAP} and {_MASKS}/"
    return None


def recognises(path: Path) -> str | None:
    """Why a folder is VOC's, or None."""
    return f"{_MASKS}/ without {_LABELMAP}" if (path / _MASKS).is_dir() else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: no masks, no images, or a labelmap of another form.
    """
    folder = path / _MASKS
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    labelmap = path / _LABELMAP
    classes = read_labelmap(labelmap) if labelmap.is_file() else _voc_classes(path / _NAMES)
    table = by_colour(classes)
    if all(code != 0 for code, _ in table):
        table = (*table, (0, UNLABELLED))  # black, where no class is black: nothing was drawn
    images = by_stem(path / _IMAGES)
    masks = by_stem(folder)
    if masks and not images:
        raise InputError(
            f"{path}: there are masks and no images. Export with images, or put them into"
            f" {_IMAGES}/"
        )
    splits = _splits(path / _LISTS)
    problems = tuple(
        f"{mask}: its image is missing in {_IMAGES}/"
        for name, mask in masks.items()
        if name not in images
    )
    frames = tuple(
        SourceFrame(name, images[name], partial(read_colours, table, mask), splits.get(name, ""))
        for name, mask in masks.items()
        if name in images
    )
    return Source(classes, frames, problems=problems)


def read_labelmap(path: Path) -> tuple[SourceClass, ...]:
    """CVAT's labelmap.txt.

    Raises:
        InputError: unreadable, or a line of another form.
    """
    classes = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.startswith("#"):
            continue
        try:
            name, colour = line.rsplit(":", 3)[:2] if line.count(":") > 2 else line.split(":")[:2]
            red, green, blue = (int(part) for part in colour.split(","))
        except ValueError:
            raise InputError(
                f"{path}: line {number}: expected name:r,g,b:parts:actions: {line.strip()}"
            ) from None
        if not all(part in range(256) for part in (red, green, blue)):
            raise InputError(f"{path}: line {number}: a colour's parts are 0 to 255")
        classes.append(SourceClass(name, None, (red, green, blue)))
    return tuple(classes)


def write_frame(out: Path, frame: LabelledFrame, options: WriteOptions) -> tuple[str, str]:
    """Write the mask and the image; returns the frame's split and name."""
    palette = np.zeros((256, 3), np.uint8)
    colours = _colours(options)
    palette[: len(options.classes)] = [colours[name] for name in options.classes.names]
    palette[IGNORE] = colours[_ignore_name(options)]
    mask = join_inside(out / _MASKS, f"{frame.name}.png")
    mask.parent.mkdir(parents=True, exist_ok=True)
    mask.write_bytes(encode_png(palette[frame.label], flat=True))
    place_image(out / _IMAGES, frame, options)
    return frame.split, frame.name


def finish(out: Path, records: Iterator[tuple[str, str]], options: WriteOptions) -> None:
    """Write labelmap.txt and the lists of names."""
    _write_lists(out / _LISTS, records)
    lines = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in _colours(options).items()]
    write_text(out / _LABELMAP, "\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n")


def write_frame_voc(out: Path, frame: LabelledFrame, options: WriteOptions) -> tuple[str, str]:
    """Write the mask with VOC's palette, whose indices are ids, and the image."""
    mask = join_inside(out / _MASKS, f"{frame.name}.png")
    mask.parent.mkdir(parents=True, exist_ok=True)
    picture = PIL.Image.fromarray(frame.label).convert("P")
    colours = [voc_colour(index) for index in range(IGNORE)] + [_VOID]
    picture.putpalette(np.array(colours, np.uint8).tobytes())
    picture.save(mask)
    place_image(out / _IMAGES, frame, options)
    return frame.split, frame.name


def finish_voc(out: Path, records: Iterator[tuple[str, str]], options: WriteOptions) -> None:
    """Write the lists of names, and class_names.txt."""
    _write_lists(out / _LISTS, records)
    names = (_IGNORED, *options.classes.names)
    write_text(out / _NAMES, "".join(name + "\n" for name in names))


def _write_lists(folder: Path, records: Iterator[tuple[str, str]]) -> None:
    folder.mkdir(parents=True)
    seen = set()
    for split, name in records:
        if name in seen:
            raise InputError(f"{name} is in two splits, and this format keeps all in one folder")
        seen.add(name)
        with (folder / f"{split or 'default'}.txt").open("a", encoding="utf-8") as file:
            file.write(name + "\n")


def _colours(options: WriteOptions) -> dict[str, Colour]:
    """Names and colours as labelmap.txt lists them; ignored pixels are CVAT's background."""
    classes = options.classes
    ignored = _ignore_name(options)
    own = dict(zip(classes.names, classes.colours, strict=True))
    free = [colour for colour in ((0, 0, 0), _VOID, (255, 255, 255)) if colour not in own.values()]
    return {ignored: free[0], **own}


def _ignore_name(options: WriteOptions) -> str:
    return "ignore" if "background" in options.classes.names else "background"


def _voc_classes(file: Path) -> tuple[SourceClass, ...]:
    """VOC's classes, or those of class_names.txt; either way the indices of VOC's palette."""
    names = list(_VOC)
    if file.is_file():
        names = [line for line in read_lines(file) if line != _IGNORED]
    named = tuple(SourceClass(name, i, voc_colour(i)) for i, name in enumerate(names))
    return (*named, SourceClass("void", IGNORE, _VOID, ignore=True))


def _splits(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")):
        split = split_called(path.stem)
        if split:  # "default" and "trainval" are none
            found |= {line.strip('"'): split for line in read_lines(path)}
    return found
