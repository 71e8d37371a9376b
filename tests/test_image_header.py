"""Headers as cameras and attackers write them; what they say is held against Pillow's reading."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from dashseg.image_header import Header, read_header

IMAGE = PIL.Image.fromarray(np.arange(40 * 56, dtype=np.uint8).reshape(40, 56))


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    IMAGE.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG, PNG = encoded("JPEG"), encoded("PNG")


def with_exif(exif: bytes) -> bytes:
    content = b"Exif\0\0" + exif
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + JPEG[2:]


def exif_of(order: str, kind: str, orientation: int) -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    entry = struct.pack(order + "HHI", 0x112, {"H": 3, "I": 4}[kind], 1)
    return start + struct.pack(order + "IH", 8, 1) + entry + value + bytes(4)


def size(data: bytes) -> tuple[int, int]:
    header = read_header(data)
    assert header is not None
    return header.upright


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", "HI")
@pytest.mark.parametrize("orientation", [0, 1, 5, 6, 8, 9, 65_535])
def test_orientation_in_either_byte_order_and_width(
    order: str, kind: str, orientation: int
) -> None:
    data = with_exif(exif_of(order, kind, orientation))
    seen = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data)))
    assert size(data) == seen.size[::-1]


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"II*\0" + b"\xff" * 4, b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_data_say_nothing(exif: bytes) -> None:
    assert size(with_exif(exif)) == (40, 56)


def test_stray_bytes_and_large_segments_before_the_size_are_skipped() -> None:
    profile = b"\xff\xe2" + struct.pack(">H", 35_002) + bytes(35_000)
    assert size(JPEG[:2] + 2 * profile + JPEG[2:]) == (40, 56)
    assert size(JPEG[:20] + b"\0\0\xff\xff\xff" + JPEG[20:]) == (40, 56)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "WEBP", "PNG", "JPEG"])
def test_the_size_is_known_in_every_format(kind: str) -> None:
    assert size(encoded(kind)) == (40, 56)
    assert read_header(encoded(kind)[:12]) is None


def test_bigtiff_has_the_turned_size() -> None:
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    assert size(encoded("TIFF", big_tiff=True, exif=exif)) == (56, 40)


@pytest.mark.parametrize(
    "data", [b"", b"text", bytes(99), b"II*\0" + struct.pack("<I", 4) + bytes(9)]
)
def test_what_is_no_image_has_no_header(data: bytes) -> None:
    assert read_header(data) is None


@pytest.mark.parametrize(
    "data",
    [
        JPEG[:2] + b"\xff\xe0\0\2" * 10_000_000 + JPEG[2:],
        PNG[:33] + struct.pack(">I4sI", 0, b"teSt", 0) * 5_000_000 + PNG[33:],
    ],
    ids=["segments", "chunks"],
)
def test_millions_of_empty_parts_are_given_up(data: bytes) -> None:
    assert read_header(data) is None


def test_where_pixels_start() -> None:
    header = read_header(PNG)
    assert header == Header(40, 56, 1, PNG.index(b"IDAT") - 4, False)
    header = read_header(JPEG)
    assert header is not None
    assert JPEG[header.body - 2 : header.body] == b"\xff\xda"
