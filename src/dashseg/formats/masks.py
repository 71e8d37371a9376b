"""Mask files of other tools -> a `Raster`: ids in any depth, colours, and palettes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashseg.errors import InputError
from dashseg.formats.source import UNLABELLED, Raster, SourceClass
from dashseg.images import decode_any_depth, decode_pixels, read_bytes
from dashseg.labels import colour_code, colour_codes

_UNKNOWN = UNLABELLED - 1  # never leaves this module
_SHOWN = 3

Table = tuple[tuple[int, int], ...]  # stored value, index in Source.classes


def by_colour(classes: Sequence[SourceClass]) -> Table:
    """(0xRRGGBB, index) of every class with a colour; the first class keeps a shared colour."""
    table: dict[int, int] = {}
    for index, entry in enumerate(classes):
        if entry.colour is not None:
            table.setdefault(colour_code(entry.colour), index)
    return tuple(table.items())


def by_id(classes: Sequence[SourceClass]) -> Table:
    """(id, index) of every class with an id."""
    return tuple((entry.id, i) for i, entry in enumerate(classes) if entry.id is not None)


def read_ids(table: Table, path: Path, size: tuple[int, int] | None = None) -> Raster:
    """A grey mask of 8 or 16 bits that holds ids.

    Args:
        table: as `by_id` makes it.
        size: not needed; a `SourceFrame.label` is called with it.

    Raises:
        InputError: unreadable, colour, or an id that no class has.
    """
    ids = decode_any_depth(read_bytes(path), str(path))
    if ids.ndim != 2 or ids.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: {_kind(ids)}; masks of ids are grey, with 8 or 16 bits")
    index_of = np.full(1 << (8 * ids.dtype.itemsize), _UNKNOWN, np.uint16)
    for value, index in table:
        if value < len(index_of):
            index_of[value] = index
    pixels = np.take(index_of, ids)
    _require_known(pixels, ids, path, str)
    return Raster(pixels)


def read_colours(
    table: Table, path: Path, size: tuple[int, int] | None = None, *, snap: bool = False
) -> Raster:
    """A mask in colours: RGB, RGBA, or a PNG with a palette, which gives the palette's colours.

    Args:
        table: as `by_colour` makes it.
        size: not needed; a `SourceFrame.label` is called with it.
        snap: colours that no class has become the nearest colour that one has.

    Raises:
        InputError: unreadable, or a colour that no class has.
    """
    image = decode_pixels(read_bytes(path), str(path))
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    codes = colour_codes(image)
    pixels = np.take(_index_of_colour(table), codes)
    unknown = pixels == _UNKNOWN
    if snap and unknown.any():
        strays, inverse = np.unique(codes[unknown], return_inverse=True)
        known = np.array([code for code, _ in table], np.uint32)
        indices = np.array([index for _, index in table], np.uint16)
        nearest = np.empty(len(strays), np.uint16)
        for start in range(0, len(strays), 4096):
            part = _rgb(strays[start : start + 4096])
            distance = ((part[:, None] - _rgb(known)[None]) ** 2).sum(axis=2)
            nearest[start : start + 4096] = indices[distance.argmin(axis=1)]
        pixels[unknown] = nearest[inverse]
        return Raster(pixels, int(unknown.sum()))
    _require_known(pixels, codes, path, lambda code: f"#{code:06x}")
    return Raster(pixels)


@lru_cache(maxsize=2)
def _index_of_colour(table: Table) -> NDArray[np.uint16]:
    index_of = np.full(1 << 24, _UNKNOWN, np.uint16)
    for code, index in table:
        index_of[code] = index
    return index_of


def _require_known(
    pixels: NDArray[np.uint16],
    stored: NDArray[Any],
    path: Path,
    show: Callable[[Any], str],
) -> None:
    unknown = pixels == _UNKNOWN
    if not unknown.any():
        return
    values, counts = np.unique(stored[unknown], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SHOWN]
    shown = ", ".join(f"{show(values[i])} ({counts[i]} pixels)" for i in order)
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    raise InputError(f"{path}: {shown}{more}: no class has this value")


def _rgb(codes: NDArray[np.uint32]) -> NDArray[np.int32]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.int32)


def _kind(pixels: NDArray[np.generic]) -> str:
    colour = "grey" if pixels.ndim == 2 else "colour"
    return f"a {colour} image of {8 * pixels.dtype.itemsize} bits"
