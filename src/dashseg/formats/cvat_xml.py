"""CVAT's "CVAT for images 1.1": annotations.xml, with polygons, masks, boxes and ellipses.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/. Shapes are drawn in `z_order`.
A polygon has no holes: what lies in one is a shape with a higher z_order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from dashseg.data.folder import split_called
from dashseg.errors import InputError
from dashseg.formats.drawing import ellipse, rectangle
from dashseg.formats.files_of import ImageIndex, beginning
from dashseg.formats.source import (
    ReadOptions,
    Shape,
    Shapes,
    Source,
    SourceClass,
    SourceFrame,
)
from dashseg.formats.writing import LabelledFrame, WriteOptions, place_image, regions
from dashseg.labels import IGNORE, hex_colour, parse_colour

_FILE = "annotations.xml"
_DRAWN = ("polygon", "mask", "box", "ellipse")
_NOT_AREAS = ("polyline", "points", "cuboid", "skeleton")  # tags say something of a whole image
Attributes = Mapping[str, str]


class _Drawing(NamedTuple):
    kind: str
    attributes: dict[str, str]


class _Image(NamedTuple):
    file: Path
    attributes: dict[str, str]
    drawings: list[_Drawing]


def recognises(path: Path) -> str | None:
    """Why a folder or file is CVAT's XML, or None."""
    files = _files(path)
    return f"{files[0].name} is CVAT's XML" if files else None


def read(path: Path, options: ReadOptions) -> Source:
    """List the frames.

    Raises:
        InputError: no such file, not XML, of a video, or of another form.
    """
    files = _files(path)
    if not files:
        raise InputError(f"{path}: no {_FILE} of CVAT")
    images = ImageIndex(files[0].parent)
    classes: dict[str, SourceClass] = {}
    found: list[_Image] = []
    left_out = 0
    for file in files:
        read, lines = _read_file(file, classes)
        found += read
        left_out += lines
    for image in found:
        for drawing in image.drawings:
            name = drawing.attributes.get("label", "")
            classes.setdefault(name, SourceClass(name))
    index_of = {name: index for index, name in enumerate(classes)}
    frames: list[SourceFrame] = []
    problems: list[str] = []
    for file, attributes, drawings in found:
        name = attributes.get("name", "")
        try:
            size = _size(attributes, file)
            split = split_called(attributes.get("subset", "")) or split_called(file.stem) or ""
            path = images.find(name, file, split)
        except InputError as error:
            problems.append(str(error))
            continue
        plain = name[: -len(path.suffix)].replace("\\", "/")
        label = partial(_read, f"{file}: {name}", drawings, index_of, size)
        frames.append(SourceFrame(plain, path, label, split))
    notes = []
    if left_out:
        notes.append(f"{left_out} lines and points cover no area: left out")
    return Source(tuple(classes.values()), tuple(frames), tuple(notes), tuple(problems))


def _read_file(file: Path, classes: dict[str, SourceClass]) -> tuple[list[_Image], int]:
    """The images of a file, and how many lines and points it has; adds to `classes`."""
    found = []
    left_out = 0
    try:
        for _, element in ElementTree.iterparse(file, events=("end",)):
            if element.tag == "label" and (name := element.findtext("name")):
                colour = element.findtext("color")
                rgb = parse_colour(colour, f"{file}: label {name}: ") if colour else None
                classes[name] = SourceClass(name, None, rgb)
            elif element.tag == "track":
                raise InputError(
                    f'{file}: annotations of a video; export them as "CVAT for images 1.1"'
                )
            elif element.tag == "image":
                drawings = [
                    _Drawing(child.tag, dict(child.attrib))
                    for child in element
                    if child.tag in _DRAWN
                ]
                left_out += sum(child.tag in _NOT_AREAS for child in element)
                found.append(_Image(file, dict(element.attrib), drawings))
                element.clear()
    except ElementTree.ParseError as error:
        raise InputError(f"{file}: not valid XML: {error}") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    return found, left_out


def write_frame(out: Path, frame: LabelledFrame, options: WriteOptions) -> str:
    """Write the image; returns its XML element."""
    height, width = frame.label.shape
    place_image(out / "images", frame, options)
    subset = f" subset={quoteattr(frame.split)}" if frame.split else ""
    made_by = "auto" if options.model else "manual"
    lines = [
        f'  <image id="{frame.index}" name={quoteattr(frame.image_name)}{subset}'
        f' width="{width}" height="{height}">'
    ]
    for z, region in enumerate(regions(frame, options)):
        label = "ignore" if region.class_id == IGNORE else options.classes.names[region.class_id]
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in region.ring)
        lines.append(
            f'    <polygon label={quoteattr(label)} source="{made_by}"'
            f' occluded="0" points="{points}" z_order="{z}"/>'
        )
    return "\n".join([*lines, "  </image>"])


def finish(out: Path, records: Iterator[str], options: WriteOptions) -> None:
    """Write annotations.xml, one image at a time."""
    named = zip(options.classes.names, options.classes.colours, strict=True)
    labels = [(name, hex_colour(colour)) for name, colour in named]
    with (out / _FILE).open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write("  <version>1.1</version>\n  <meta><task><labels>\n")
        for name, colour in [*labels, ("ignore", "#000000")]:
            text = quoteattr(name)[1:-1]
            file.write(f"    <label><name>{text}</name><color>{colour}</color></label>\n")
        file.write("  </labels></task></meta>\n")
        for record in records:
            file.write(record + "\n")
        file.write("</annotations>\n")


def _files(path: Path) -> list[Path]:
    """CVAT's XML files: annotations.xml, or one for each subset."""
    candidates = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    return [
        file
        for file in candidates
        if file.suffix.lower() == ".xml" and "<annotations" in beginning(file)
    ]


def _read(
    source: str,
    drawings: list[_Drawing],
    index_of: Mapping[str, int],
    size: tuple[int, int],
    frame: tuple[int, int],
) -> Shapes:
    shapes = []
    for kind, attributes in drawings:
        try:
            z = float(attributes.get("z_order") or 0)
            index = index_of[attributes.get("label", "")]
            if kind == "mask":
                mask, at = _mask(attributes)
                shapes.append(Shape(index, mask=mask, at=at, z=z))
            else:
                shapes.append(Shape(index, (_ring(kind, attributes),), z=z))
        except (KeyError, ValueError) as error:
            raise InputError(f"{source}: a {kind} that cannot be read: {error}") from error
    return Shapes(shapes, size)


def _ring(kind: str, attributes: Attributes) -> NDArray[np.float64]:
    turn = float(attributes.get("rotation") or 0)
    if kind == "polygon":
        points = [point.split(",") for point in attributes["points"].split(";")]
        return np.array([[float(x), float(y)] for x, y in points])
    if kind == "ellipse":
        x, y, radius_x, radius_y = (float(attributes[key]) for key in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, radius_x, radius_y, turn)
    left, top, right, bottom = (float(attributes[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    ring = rectangle(left, top, right, bottom)
    if not turn:
        return ring
    middle = ring.mean(axis=0)
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return (ring - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle


def _mask(attributes: Attributes) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Runs of pixels outside and inside, in turn, along the rows of the mask's box."""
    left, top, width, height = (int(attributes[key]) for key in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in attributes["rle"].split(",")], np.int64)
    if (runs < 0).any() or runs.sum() != width * height or not 0 < width * height < 1 << 31:
        raise ValueError(f"its runs do not add up to {width}×{height} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(height, width), (top, left)


def _size(attributes: Attributes, file: Path) -> tuple[int, int]:
    try:
        return int(attributes["height"]), int(attributes["width"])
    except (KeyError, ValueError):
        raise InputError(
            f"{file}: image {attributes.get('name')}: width and height are missing"
        ) from None
