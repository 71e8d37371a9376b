"""Read one frame's files once, and measure what can be wrong with them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dashseg.curate.check.blended import without_blends
from dashseg.curate.check.colours import Strays, describe_strays
from dashseg.curate.check.picture import (
    Picture,
    Pixels,
    fits_suffix,
    plain_image,
    plain_mask,
    read_picture,
)
from dashseg.curate.check.shift import Shift, find_shift
from dashseg.data.folder_pair import FolderPair
from dashseg.errors import InputError
from dashseg.labels import IGNORE, UNKNOWN, Classes, Label, count_ids, look_up

_SAMPLE = 4096  # pixels sampled to tell a picture from a mask
_PAINTED = 0.8  # share of pixels in the palette that makes an image a mask: a photograph has none
_PHOTOGRAPHED = 0.05  # share below which a mask with many colours is a photograph
_MANY = 0.1  # different colours per pixel: a photograph has more, a painting far less
_MOSTLY_UNKNOWN = 0.2  # share of strays above which no shift is looked for


class Work(NamedTuple):
    """The files of one frame (None: missing)."""

    pair: int
    image: Path | None
    mask: Path | None


class Alpha(NamedTuple):
    """Pixels that are partly transparent, and those that are fully transparent."""

    translucent: int
    invisible: int


class FileFacts(NamedTuple):
    """What one file is like."""

    error: str = ""  # why it cannot be read
    size: tuple[int, int] = (0, 0)  # H, W
    format: str = ""
    named_right: bool = True  # its suffix matches its format
    palette: bool = False
    alpha: Alpha | None = None
    depth: str = ""  # what is wrong with bits and channels
    plain: bool = False  # its pixels can be read without a guess
    digest: int = 0  # of the plain pixels or the label; other files may have the same
    foreign: bool = False  # an image that is a mask, a mask that is a photograph
    ids: tuple[int, ...] = ()  # mask: the classes that it shows, and 255
    single: int | None = None  # mask: the only class
    strays: Strays | None = None  # mask: pixels outside the palette
    blended: int = 0  # id mask: pixels whose id comes from interpolation; the rest is without them


class Facts(NamedTuple):
    """What one frame is like."""

    image: FileFacts | None
    mask: FileFacts | None
    shift: Shift | None = None


def inspect(pairs: Sequence[FolderPair], work: Work) -> Facts:
    """Read the files of one frame."""
    classes = pairs[work.pair].classes
    image, pixels = _image(work.image, classes) if work.image else (None, None)
    mask, label = _mask(work.mask, classes) if work.mask else (None, None)
    shift = None
    if pixels is not None and label is not None and pixels.shape[:2] == label.shape:
        unknown = label == UNKNOWN
        share = np.count_nonzero(unknown) / label.size
        if image and not image.foreign and mask and mask.single is None and share < _MOSTLY_UNKNOWN:
            if share:
                label = np.where(unknown, np.uint8(IGNORE), label)
            shift = find_shift(pixels, label)
    return Facts(image, mask, shift)


def looks_like_a_mask(pixels: Pixels, classes: Classes) -> bool:
    """Whether most pixels have colours (or ids) of the palette, and several of them."""
    step = _step(pixels)
    sample = np.ascontiguousarray(pixels[::step, ::step])
    if (sample.ndim == 2) != (classes.stored_as == "id"):
        return False
    label = look_up(sample, classes)
    known = label[label != UNKNOWN]
    return known.size >= _PAINTED * label.size and bool((known != known[0]).any())


def _image(path: Path, classes: Classes) -> tuple[FileFacts, Pixels | None]:
    try:
        picture = read_picture(path)
    except InputError as error:
        return _unreadable(path, error), None
    depth = _deep(picture)
    pixels = plain_image(picture)
    facts = _facts(path, picture, depth, pixels)._replace(
        foreign=looks_like_a_mask(picture.pixels, classes),
        digest=0 if pixels is None else zlib.crc32(pixels.data),
    )
    return facts, pixels


def _mask(path: Path, classes: Classes) -> tuple[FileFacts, Label | None]:
    try:
        picture = read_picture(path)
    except InputError as error:
        return _unreadable(path, error), None
    depth = _deep(picture)
    if not depth and not picture.palette:
        if classes.stored_as == "colour" and picture.grey:
            depth = "grey, where the palette's colours are expected"
        elif classes.stored_as == "id" and picture.pixels.ndim != 2:
            depth = "several channels, where class ids in one are expected"
    pixels = plain_mask(picture, classes)
    facts = _facts(path, picture, depth, pixels)
    if pixels is None:
        return facts._replace(foreign=_is_photograph(picture.pixels, None)), None
    if classes.stored_as == "id":
        pixels, blended = without_blends(pixels)
        facts = facts._replace(blended=blended)
    label = look_up(pixels, classes)
    facts = facts._replace(digest=zlib.crc32(label.data))  # a third of the pixels' bytes
    count = count_ids(label)
    facts = facts._replace(ids=tuple(np.flatnonzero(count).tolist()))
    if count[UNKNOWN]:
        if _is_photograph(pixels, label):
            return facts._replace(foreign=True), None
        facts = facts._replace(strays=describe_strays(pixels, label, classes))
    elif np.count_nonzero(count) == 1:
        facts = facts._replace(single=int(count.argmax()))
    return facts, label


def _facts(path: Path, picture: Picture, depth: str, plain: Pixels | None) -> FileFacts:
    height, width = picture.pixels.shape[:2]
    return FileFacts(
        size=(height, width),
        format=picture.format,
        named_right=fits_suffix(picture, path),
        palette=picture.palette,
        alpha=_alpha(picture.alpha()),
        depth=depth,
        plain=plain is not None,
    )


def _unreadable(path: Path, error: InputError) -> FileFacts:
    return FileFacts(error=str(error).removeprefix(f"{path}: "))


def _deep(picture: Picture) -> str:
    if picture.palette or picture.bits == 8:
        return ""
    return f"{picture.bits} bits per channel, where 8 are expected"


def _alpha(alpha: Pixels | None) -> Alpha | None:
    if alpha is None:
        return None
    if alpha.min() == 255:
        return Alpha(0, 0)
    invisible = int(np.count_nonzero(alpha == 0))
    return Alpha(int(np.count_nonzero(alpha != 255)) - invisible, invisible)


def _is_photograph(pixels: Pixels, label: Label | None) -> bool:
    """Whether hardly a pixel has a colour of the palette, and the colours are many."""
    if pixels.ndim == 2:
        return False
    step = _step(pixels)
    if label is not None and (label[::step, ::step] != UNKNOWN).mean() >= _PHOTOGRAPHED:
        return False
    sample = pixels[::step, ::step, :3].reshape(-1, 3)
    return len(np.unique(sample, axis=0)) > _MANY * len(sample)


def _step(pixels: Pixels) -> int:
    return max(1, isqrt(pixels.shape[0] * pixels.shape[1] // _SAMPLE))
