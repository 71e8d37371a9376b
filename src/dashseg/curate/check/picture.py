"""Read an image file: its pixels, and how they are stored.

`plain_image` and `plain_mask` convert unusual files to what dashseg reads, if that needs no guess.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dashseg.images import decode_any_depth, palette_indices, read_bytes
from dashseg.labels import Classes

_SIGNATURES = {
    b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"RIFF": "WebP", b"GIF8": "GIF",
}  # fmt: skip
_SUFFIXES = {
    "PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"), "WebP": (".webp",), "GIF": (),
}  # fmt: skip
_GREY = (0, 4)  # PNG colour types: grey, grey with alpha
_PALETTE = 3

Pixels = NDArray[np.uint8]


class Picture(NamedTuple):
    """A decoded file.

    Args:
        data: its bytes.
        pixels: uint8 H×W, H×W×3 RGB or H×W×4 RGBA; 16 bits have lost their lower byte.
        format: "PNG", "JPEG", …; "?" for others.
        bits: per channel, or per pixel of a palette.
        grey: one channel, apart from alpha.
        palette: a palette PNG.
        exact: 8 bits hold all that is stored.
    """

    data: bytes
    pixels: Pixels
    format: str
    bits: int
    grey: bool
    palette: bool
    exact: bool = True

    def alpha(self) -> Pixels | None:
        """uint8 H×W, 255 = opaque."""
        has_alpha = self.pixels.ndim == 3 and self.pixels.shape[2] == 4
        return cv2.extractChannel(self.pixels, 3) if has_alpha else None


def read_picture(path: Path) -> Picture:
    """Read and decode a file.

    Raises:
        InputError: as `dashseg.images.read_pixels`.
    """
    data = read_bytes(path)
    head = data[:26]
    format_ = next((name for start, name in _SIGNATURES.items() if head.startswith(start)), "?")
    bits, colour_type = (head[24], head[25]) if format_ == "PNG" and len(head) == 26 else (8, None)
    exact = True
    pixels = decode_any_depth(data, str(path))
    if pixels.dtype != np.uint8:
        pixels, bits, exact = _eight_bits(pixels)
    return Picture(
        data, pixels, format_, bits,
        grey=pixels.ndim == 2 or colour_type in _GREY,
        palette=colour_type == _PALETTE, exact=exact,
    )  # fmt: skip


def fits_suffix(picture: Picture, path: Path) -> bool:
    """Whether the file's suffix matches its format."""
    return picture.format == "?" or path.suffix.lower() in _SUFFIXES[picture.format]


def plain_image(picture: Picture) -> Pixels | None:
    """uint8 H×W×3 RGB, without alpha; None where samples have no exact 8-bit value."""
    if not picture.exact:
        return None
    if picture.pixels.ndim == 2:
        return cv2.cvtColor(picture.pixels, cv2.COLOR_GRAY2RGB)
    return _without_alpha(picture.pixels)


def plain_mask(picture: Picture, classes: Classes) -> Pixels | None:
    """uint8 H×W×3 RGB, or H×W where ids are stored; None where that takes a guess.

    Ids in a palette PNG are its indices, as every tool that writes such masks means them, unless
    all its colours are greys of other values: then the greys may be meant.
    """
    if not picture.exact:
        return None
    if classes.stored_as == "colour":
        return None if picture.grey else _without_alpha(picture.pixels)
    if picture.palette:
        return _indices(picture.data)
    if picture.pixels.ndim == 2:
        return picture.pixels if picture.bits >= 8 else None  # 1 may mean 1, or white
    red, green, blue = (picture.pixels[..., i] for i in range(3))
    is_grey = np.array_equal(red, green) and np.array_equal(red, blue)
    return np.ascontiguousarray(red) if is_grey else None


def _without_alpha(pixels: Pixels) -> Pixels:
    # Ten times as fast as copying a slice.
    return pixels if pixels.shape[2] == 3 else cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)


def _eight_bits(deep: NDArray[Any]) -> tuple[Pixels, int, bool]:
    """Pixels of a deeper image in 8 bits, its bits per sample, and whether nothing was lost."""
    bits = 8 * deep.dtype.itemsize
    if deep.dtype != np.uint16:
        return np.zeros(deep.shape, np.uint8), bits, False
    pixels = np.ascontiguousarray((deep >> 8).astype(np.uint8))
    return pixels, bits, bool((deep == pixels * np.uint16(257)).all())


def _indices(data: bytes) -> Pixels | None:
    indices, colours = palette_indices(data)
    used = np.unique(indices)
    if used.max() >= len(colours):
        return None
    shown = colours[used]
    all_grey = (shown == shown[:, :1]).all()
    return indices if not all_grey or np.array_equal(shown[:, 0], used) else None
