"""What a module that writes another tool's format gets, and what it has to offer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dashseg.errors import InputError
from dashseg.files import join_inside
from dashseg.formats.regions import Region, find_regions
from dashseg.images import encode_png
from dashseg.labels import Classes, Image, Label

LINKS = ("copy", "hard", "symbolic")  # how an image gets into a new folder


@dataclass(frozen=True)
class LabelledFrame:
    """One frame to write.

    Args:
        name: without suffix; "/" separates folders.
        image: its file, or uint8 H×W×3 RGB pixels where there is none.
        label: uint8 H×W class ids, 255 = ignore.
        split: "train", "val", "test" or "".
        scores: mean probability of each class over the pixels that have it, of a model's
            prediction; None for labels.
        index: number of the frame, from 0: unique.
    """

    name: str
    image: Path | Image
    label: Label
    split: str = ""
    scores: Sequence[float] | None = None
    index: int = 0

    @property
    def image_name(self) -> str:
        """`name` with its image's suffix."""
        suffix = self.image.suffix if isinstance(self.image, Path) else ".png"
        return self.name + suffix


@dataclass(frozen=True)
class WriteOptions:
    """How labels are written.

    Args:
        classes: names and colours.
        tolerance: pixels that a polygon may stray from the label's edge.
        smallest: regions of fewer pixels are not written.
        images: one of `LINKS`, or "none".
        image_root: Label Studio: what to put before an image's name to make its URL.
        model: what made the labels, if a model did.
    """

    classes: Classes
    tolerance: float = 0.0
    smallest: int = 1
    images: str = "copy"
    image_root: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        require_choice("--images", self.images, (*LINKS, "none"))
        if not 0 <= self.tolerance <= 100 or self.smallest < 1:
            raise InputError("--tolerance is 0 to 100 pixels, --min-area 1 or more")


class Writer(NamedTuple):
    """How a format is written.

    Args:
        write_frame: called in a worker process with (folder, frame, options): writes the frame's
            own files into the folder, and returns what `finish` needs of it (picklable).
        finish: called with (folder, records, options): takes the records one by one, in the
            frames' order, and writes the files for all frames. Records do not pile up in memory.
    """

    write_frame: Callable[[Path, LabelledFrame, WriteOptions], Any]
    finish: Callable[[Path, Iterator[Any], WriteOptions], None]


def require_choice(option: str, value: str, known: Collection[str]) -> None:
    """Raise InputError unless `value` is one of `known`."""
    if value not in known:
        raise InputError(f"{option} {value}: expected {', '.join(known)}")


def regions(frame: LabelledFrame, options: WriteOptions) -> list[Region]:
    """The frame's regions in the order to draw them in; see `find_regions`."""
    return find_regions(frame.label, options.tolerance, options.smallest)


def place_image(folder: Path, frame: LabelledFrame, options: WriteOptions) -> None:
    """Copy or link the frame's image into `folder`, unless images are left out.

    Raises:
        InputError: it cannot be linked or copied.
    """
    if options.images == "none":
        return
    target = join_inside(folder, frame.image_name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(frame.image, Path):
        target.write_bytes(encode_png(frame.image))
        return
    place_file(frame.image, target, options.images)


def place_file(source: Path, target: Path, how: str) -> None:
    """Copy ("copy") or link ("hard", "symbolic") a file.

    Raises:
        InputError: it cannot be linked.
    """
    if how == "symbolic":
        target.symlink_to(source.resolve())
    elif how == "hard":
        try:
            os.link(source.resolve(), target)
        except OSError as error:
            raise InputError(
                f"{source}: cannot be hard-linked ({error.strerror}); copy it instead"
            ) from error
    else:
        shutil.copyfile(source, target)
