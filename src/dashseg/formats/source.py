"""What every reader of another tool's label files returns.

A `Source` lists frames without reading them. Each frame's label is read later, in a worker process,
as a `Raster` or as `Shapes`; both hold the source's own classes, by their index in
`Source.classes`. `dashseg.formats.importing` turns them into labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dashseg.labels import Colour

UNLABELLED = 0xFFFF  # in a Raster: no class of the source


@dataclass(frozen=True)
class SourceClass:
    """A class as the other tool knows it.

    Args:
        name: as written in the source.
        id: the source's own number, if it has one; a class map may use it.
        colour: RGB, if the source has one.
        ignore: the source itself says that these pixels do not count (void, ego vehicle).
    """

    name: str
    id: int | None = None
    colour: Colour | None = None
    ignore: bool = False


@dataclass(frozen=True)
class Shape:
    """One drawn object.

    Args:
        class_index: index in `Source.classes`.
        rings: float (n, 2) polygons of x, y in pixels; (0, 0) is the top left corner of the top
            left pixel. Their union is drawn.
        holes: polygons cut out of the rings.
        mask: bool h×w pixels instead of rings, with its top left pixel at `at` (row, column).
        z: shapes with a higher z are drawn over lower ones; equal ones in their order.
    """

    class_index: int
    rings: tuple[NDArray[np.float64], ...] = ()
    holes: tuple[NDArray[np.float64], ...] = ()
    mask: NDArray[np.bool_] | None = None
    at: tuple[int, int] = (0, 0)
    z: float = 0


@dataclass(frozen=True)
class Raster:
    """A label as pixels: uint16 H×W indices in `Source.classes`, or `UNLABELLED`."""

    pixels: NDArray[np.uint16]
    snapped: int = 0
    """Pixels that `--snap` moved to the nearest palette colour."""


@dataclass(frozen=True)
class Shapes:
    """A label as drawn objects, for a frame of `size` (H, W); None: the source does not say."""

    shapes: Sequence[Shape]
    size: tuple[int, int] | None


@dataclass(frozen=True)
class SourceFrame:
    """One labelled frame.

    Args:
        name: without suffix; "/" separates folders. Unique within its split.
        image: the image file, or the bytes of one that the label file embeds.
        label: reads the label; called with the frame's (H, W), in a worker process, so it must be
            picklable: a `functools.partial` of a module's function. Raises InputError.
        split: "train", "val" or "test" as the source has it; "" if it has no splits.
        image_suffix: of embedded bytes, such as ".jpg".
    """

    name: str
    image: Path | bytes
    label: Callable[[tuple[int, int]], Raster | Shapes]
    split: str = ""
    image_suffix: str = ".png"


@dataclass(frozen=True)
class Source:
    """A data set in another tool's format.

    Args:
        classes: all classes that the source declares, or that its labels name.
        frames: in a fixed order.
        notes: lines for the user: what the format leaves open, what was not read.
        ordered: whether the format says which shape lies above another.
        problems: files that cannot be used, one line each, found while listing frames.
    """

    classes: tuple[SourceClass, ...]
    frames: Sequence[SourceFrame]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ordered: bool = True


@dataclass(frozen=True)
class ReadOptions:
    """What a user can say about a source.

    Args:
        annotator: Label Studio: whose annotations to take; None: the newest.
        snap: folders of masks: bring colours outside the palette to the nearest palette colour.
    """

    annotator: str | None = None
    snap: bool = False
