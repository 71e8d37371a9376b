"""The first bytes of an image file -> its size, and how the image is to be turned.

PNG, JPEG and TIFF are parsed here: in microseconds, and a damaged chunk that no pixel depends on
is not an error. Pillow reads the headers of all other formats.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from struct import unpack_from
from typing import NamedTuple

import PIL.Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_WIDTH, _HEIGHT, _ORIENTATION = 0x100, 0x101, 0x112  # tags of TIFF 6.0, which EXIF uses too
_MARKER = re.compile(rb"\xff([^\x00\xff])")  # of JPEG; decoders skip stray bytes before one too
_ALONE = (0x01, *range(0xD0, 0xD9))  # JPEG markers that no length follows
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # JPEG's DHT, JPG and DAC lie among the markers that start a frame
_MOST_PARTS = 1 << 20  # chunks or segments read: a file of empty ones takes no minutes


class Header(NamedTuple):
    """What is known before pixels are decoded.

    Args:
        height, width: as stored.
        orientation: 1 to 8, as in EXIF; 1 is upright. TIFF: 1, since its decoder turns it.
        body: where the pixels of a PNG (first IDAT) or JPEG (first scan) start; else 0.
        extra: a PNG has chunks before its pixels that decoding does not need.
    """

    height: int
    width: int
    orientation: int = 1
    body: int = 0
    extra: bool = False

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width of the turned image."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)


def read_header(data: bytes) -> Header | None:
    """Read the header of a file from its first bytes, or from all of them.

    Returns:
        None if `data` ends too early, or is not an image.

    Raises:
        PIL.Image.DecompressionBombError: more pixels than Pillow opens.
    """
    try:
        if data.startswith(PNG_SIGNATURE):
            return _png(data)
        if data.startswith(JPEG_SIGNATURE):
            return _jpeg(data)
        if data[:4] in _TIFF_ORDERS:
            tags = _tags(data)
            return Header(*Header(tags[_HEIGHT], tags[_WIDTH], _orientation(data)).upright)
    except (struct.error, IndexError, KeyError):
        return None
    return _other(data)


def png_chunks(data: bytes, at: int = len(PNG_SIGNATURE)) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk from `at` to IEND.

    Raises:
        struct.error: there is no IEND.
    """
    for _ in range(_MOST_PARTS):
        length, kind = unpack_from(">I4s", data, at)
        yield kind, at, at + 12 + length
        at += 12 + length
        if kind == b"IEND":
            return
    raise struct.error("too many chunks")


def is_needed(kind: bytes) -> bool:
    """Whether pixels depend on a PNG chunk: a critical one (upper case), or transparency."""
    return kind[:1].isupper() or kind == b"tRNS"


def _png(data: bytes) -> Header:
    width, height = unpack_from(">II", data, 16)
    orientation, extra, start = 1, False, 0
    for kind, start, end in png_chunks(data):
        if kind == b"IDAT":
            break
        extra = extra or not is_needed(kind)
        if kind == b"eXIf":
            orientation = _orientation(data[start + 8 : end - 4])
    return Header(height, width, orientation, start, extra)


def _jpeg(data: bytes) -> Header | None:
    size, orientation, at = (0, 0), 1, 2
    for _ in range(_MOST_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return None
        marker, at = found[1][0], found.end()
        if marker in (0xDA, 0xD9):  # the first scan, or the end
            return Header(*size, orientation, at)
        if marker in _ALONE:
            continue
        (length,) = unpack_from(">H", data, at)
        if marker == 0xE1 and data[at + 2 : at + 8] == b"Exif\0\0":
            orientation = _orientation(data[at + 8 : at + length])
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            size = unpack_from(">HH", data, at + 3)
        at += length
    return None


def _orientation(exif: bytes) -> int:
    """1 to 8; 1 if EXIF data do not say, or are damaged."""
    try:
        orientation = _tags(exif).get(_ORIENTATION, 1)
    except (struct.error, KeyError):
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _tags(data: bytes) -> dict[int, int]:
    """Tag -> its first value, of those tags in a TIFF's first directory that are whole numbers."""
    order = _TIFF_ORDERS[data[:4]]
    (at,) = unpack_from(order + "I", data, 4)
    (count,) = unpack_from(order + "H", data, at)
    tags: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = unpack_from(order + "HH", data, entry)
        if kind in (3, 4):  # 16 and 32 bits
            (value,) = unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
            tags.setdefault(tag, value)  # of one that comes twice, libtiff reads the first
    return tags


def _other(data: bytes) -> Header | None:
    try:
        with PIL.Image.open(io.BytesIO(data)) as file:
            # For BigTIFF Pillow gives the size of the turned image.
            exif = b"" if file.format == "TIFF" else file.info.get("exif", b"")
            return Header(file.height, file.width, _orientation(exif.removeprefix(b"Exif\0\0")))
    except PIL.Image.DecompressionBombError:
        raise
    except Exception:  # Pillow's readers pass on any error that a damaged file causes
        return None
